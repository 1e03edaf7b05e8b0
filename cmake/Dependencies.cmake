# Everything that Tightrope links, as imported targets.
find_package(Threads REQUIRED)
find_package(MPI 3.1 REQUIRED COMPONENTS CXX)
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)

# LibTorch: two libraries of the wheel (or of a site's own installation) are enough on a CPU.  Its own
# TorchConfig.cmake wants a CUDA toolkit even then, so the targets are ours.
set(LIBTORCH_ROOT "$ENV{LIBTORCH_ROOT}" CACHE PATH "a LibTorch: the folder that holds include/ and lib/")
if(NOT LIBTORCH_ROOT)  # where jobs/setup.sh put it
  set(cache "$ENV{TIGHTROPE_CACHE}")
  if(NOT cache)
    set(cache "$ENV{HOME}/.cache/tightrope")
  endif()
  file(GLOB cached_libtorch "${cache}/libtorch-*/torch")
  list(SORT cached_libtorch ORDER DESCENDING)
  if(cached_libtorch)
    list(GET cached_libtorch 0 LIBTORCH_ROOT)
  endif()
endif()
find_library(TORCH_CPU_LIBRARY torch_cpu PATHS ${LIBTORCH_ROOT}/lib NO_DEFAULT_PATH)
find_library(C10_LIBRARY c10 PATHS ${LIBTORCH_ROOT}/lib NO_DEFAULT_PATH)
if(NOT TORCH_CPU_LIBRARY OR NOT C10_LIBRARY)
  message(FATAL_ERROR "LibTorch was not found (LIBTORCH_ROOT is '${LIBTORCH_ROOT}'). "
                      "Run jobs/setup.sh, which installs it, or set LIBTORCH_ROOT to the folder that holds its "
                      "include/ and lib/.")
endif()
message(STATUS "LibTorch: ${LIBTORCH_ROOT}")
add_library(torch INTERFACE)
target_include_directories(torch SYSTEM INTERFACE ${LIBTORCH_ROOT}/include
                           ${LIBTORCH_ROOT}/include/torch/csrc/api/include)
target_link_libraries(torch INTERFACE ${TORCH_CPU_LIBRARY} ${C10_LIBRARY})
# RPATH, not RUNPATH: it also serves the libraries that LibTorch itself loads.
target_link_options(torch INTERFACE -Wl,--disable-new-dtags)

find_path(XXHASH_INCLUDE xxhash.h REQUIRED)
find_path(RANDOM123_INCLUDE Random123/philox.h REQUIRED)
find_path(JSON_INCLUDE nlohmann/json.hpp REQUIRED)
add_library(xxhash INTERFACE)
target_include_directories(xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE} ${RANDOM123_INCLUDE})
target_compile_definitions(xxhash INTERFACE XXH_INLINE_ALL)

find_path(PCRE2_INCLUDE pcre2.h REQUIRED)
find_library(PCRE2_LIBRARY pcre2-8 REQUIRED)
add_library(pcre2 INTERFACE)
target_include_directories(pcre2 SYSTEM INTERFACE ${PCRE2_INCLUDE})
target_link_libraries(pcre2 INTERFACE ${PCRE2_LIBRARY})

include(Hdf5)
include(Nccl)
