# What only a GPU can show: built everywhere, so that it goes on compiling, and run where there is a GPU.
if(NOT TIGHTROPE_SANITIZE)
  add_executable(device_tests ${CMAKE_SOURCE_DIR}/tests/device/device_test.cpp)
  target_link_libraries(device_tests PRIVATE tightrope_run GTest::gtest_main)
  target_compile_definitions(device_tests PRIVATE TIGHTROPE_SOURCE="${CMAKE_SOURCE_DIR}")
  target_precompile_headers(device_tests REUSE_FROM tightrope_learn)
  if(EXISTS /dev/nvidiactl)
    add_test(NAME device COMMAND device_tests --gtest_filter=-GpuSmolLm2.*)
    add_test(NAME device_smollm2 COMMAND device_tests --gtest_filter=GpuSmolLm2.*)  # a real model
    set_tests_properties(device device_smollm2 PROPERTIES LABELS device TIMEOUT 300)
  endif()
endif()
