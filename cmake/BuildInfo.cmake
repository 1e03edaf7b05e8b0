# Version, git hash, build type and library versions, made anew at every build so that no binary carries a stale one.

# library_version(RESULT FILE PATTERN): the first line of a header that matches, reduced to its group 1.
function(library_version result file pattern)
  set(found "")
  if(EXISTS ${file})
    file(STRINGS ${file} lines REGEX "${pattern}")
    if(lines)
      list(GET lines 0 line)
      string(REGEX MATCH "${pattern}" line "${line}")
      set(found "${CMAKE_MATCH_1}")
    endif()
  endif()
  if(found STREQUAL "")
    set(found "?")
  endif()
  set(${result} "${found}" PARENT_SCOPE)
endfunction()

set(torch_header ${LIBTORCH_ROOT}/include/torch/headeronly/version.h)
if(NOT EXISTS ${torch_header})  # before 2.9
  set(torch_header ${LIBTORCH_ROOT}/include/torch/csrc/api/include/torch/version.h)
endif()
foreach(part MAJOR MINOR PATCH)
  library_version(torch_${part} ${torch_header} "TORCH_VERSION_${part} ([0-9]+)")
endforeach()
library_version(hdf5_version ${HDF5_INCLUDE}/H5public.h "H5_VERS_INFO +\"HDF5 library version: ([^\"]+)\"")
foreach(part MAJOR MINOR RELEASE)
  foreach(folder ${MPI_CXX_INCLUDE_DIRS})
    if(EXISTS ${folder}/mpi.h)
      library_version(ompi_${part} ${folder}/mpi.h "define OMPI_${part}_VERSION ([0-9]+)")
    endif()
  endforeach()
endforeach()
set(libraries "LibTorch ${torch_MAJOR}.${torch_MINOR}.${torch_PATCH}, HDF5 ${hdf5_version} (${HDF5_FLAVOUR})")
if(ompi_MAJOR MATCHES "[0-9]")
  string(APPEND libraries ", Open MPI ${ompi_MAJOR}.${ompi_MINOR}.${ompi_RELEASE}")
endif()
message(STATUS "Tightrope ${PROJECT_VERSION}: ${libraries}; ${TIGHTROPE_ACCELERATOR}")

add_custom_target(tightrope_git ALL
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUT=${CMAKE_BINARY_DIR}/generated/build_id.hpp
          -DVERSION=${PROJECT_VERSION} -DTYPE=${CMAKE_BUILD_TYPE} -DSANITIZE=${TIGHTROPE_SANITIZE}
          "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}" "-DLIBRARIES=${libraries}"
          "-DACCELERATOR=${TIGHTROPE_ACCELERATOR}" -P ${CMAKE_SOURCE_DIR}/cmake/WriteBuildId.cmake
  BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/build_id.hpp VERBATIM)
add_library(tightrope_build_info INTERFACE)
add_dependencies(tightrope_build_info tightrope_git)
target_include_directories(tightrope_build_info INTERFACE ${CMAKE_BINARY_DIR}/generated)
