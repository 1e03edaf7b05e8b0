# Git hash and build type, made anew at every build so that no binary carries a stale one.
add_custom_target(tightrope_git ALL
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUT=${CMAKE_BINARY_DIR}/generated/build_id.hpp
          -DVERSION=${PROJECT_VERSION} -DTYPE=${CMAKE_BUILD_TYPE} -DSANITIZE=${TIGHTROPE_SANITIZE}
          -P ${CMAKE_SOURCE_DIR}/cmake/WriteBuildId.cmake
  BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/build_id.hpp)
add_library(tightrope_build_info INTERFACE)
add_dependencies(tightrope_build_info tightrope_git)
target_include_directories(tightrope_build_info INTERFACE ${CMAKE_BINARY_DIR}/generated)
