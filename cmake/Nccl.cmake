# NCCL for the sums over trainers: the target `nccl` where a CUDA toolkit and NCCL are found, in the toolkit, in the
# wheels beside LibTorch, or in NCCL_ROOT.  The program uses it with TIGHTROPE_CUDA; the tests use it wherever it is.
# Sets TIGHTROPE_ACCELERATOR, a phrase for the build information.
option(TIGHTROPE_CUDA "trainers on GPUs, sums by NCCL (needs a CUDA toolkit and NCCL)" OFF)
find_package(CUDAToolkit QUIET)
set(nccl_roots ${NCCL_ROOT} $ENV{NCCL_ROOT} ${LIBTORCH_ROOT}/../nvidia/nccl)
find_path(NCCL_INCLUDE nccl.h HINTS ${nccl_roots} ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${nccl_roots} ${CUDAToolkit_LIBRARY_DIR} PATH_SUFFIXES lib)
set(nccl_oldest 2.19)
if(CUDAToolkit_FOUND AND NCCL_INCLUDE AND NCCL_LIBRARY)
  file(STRINGS ${NCCL_INCLUDE}/nccl.h nccl_lines REGEX "define NCCL_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9]+" "." nccl_version "${nccl_lines}")
  string(REGEX REPLACE "^\\." "" nccl_version "${nccl_version}")
  if(nccl_version VERSION_GREATER_EQUAL nccl_oldest)
    add_library(nccl INTERFACE)
    target_include_directories(nccl SYSTEM INTERFACE ${NCCL_INCLUDE})
    target_link_libraries(nccl INTERFACE ${NCCL_LIBRARY} CUDA::cudart)
  endif()
endif()
if(NOT TIGHTROPE_CUDA)
  set(TIGHTROPE_ACCELERATOR "none (CPU build, sums by MPI)")
elseif(TARGET nccl)
  set(TIGHTROPE_ACCELERATOR
      "CUDA ${CUDAToolkit_VERSION}, NCCL ${nccl_version}: trainers on GPUs or CPUs, sums by NCCL or MPI")
else()
  message(FATAL_ERROR "TIGHTROPE_CUDA=ON needs a CUDA toolkit (found: '${CUDAToolkit_VERSION}') and NCCL "
                      "${nccl_oldest} or newer (found: '${nccl_version}'): set CUDAToolkit_ROOT and NCCL_ROOT to the "
                      "folders that hold their include/ and lib/, or build without it")
endif()
