# The executable as users meet it: each script runs it under mpirun in temporary folders.
set(program_environment ${mpi_environment} "TIGHTROPE=$<TARGET_FILE:tightrope>" "MPIEXEC=${MPIEXEC_EXECUTABLE}"
    "TIGHTROPE_SOURCE=${CMAKE_SOURCE_DIR}" PYTHONDONTWRITEBYTECODE=1)
if(TARGET nccl AND NOT TIGHTROPE_SANITIZE)  # tests/standin: the program with NCCL, and what stands in for a GPU
  list(APPEND program_environment "TIGHTROPE_NCCL=$<TARGET_FILE:tightrope_nccl>" "STANDIN=$<TARGET_FILE:standin>")
endif()
# An MPI that grants less than MPI_THREAD_MULTIPLE.
add_library(serialized SHARED program/serialized.cpp)
target_link_libraries(serialized PRIVATE MPI::MPI_CXX)
list(APPEND program_environment "SERIALIZED=$<TARGET_FILE:serialized>")
foreach(part command_line deck_errors smoke lockstep restart elastic checkpoint stop watchdog
        asynchrony failure progress text local trainers)
  add_test(NAME program_${part} COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/program/${part}_test.py)
  set_tests_properties(program_${part} PROPERTIES ENVIRONMENT "${program_environment}" LABELS program TIMEOUT 300
                       PROCESSORS 2)
endforeach()
set_tests_properties(program_lockstep program_elastic program_checkpoint program_trainers PROPERTIES TIMEOUT 600)

add_executable(gradient_tests program/gradient_test.cpp program/restore_test.cpp mpi/main.cpp)
target_link_libraries(gradient_tests PRIVATE tightrope_run GTest::gtest)
if(TARGET nccl AND NOT TIGHTROPE_SANITIZE)  # tests/standin
  target_link_libraries(gradient_tests PRIVATE nccl_objects)
  target_compile_definitions(gradient_tests PRIVATE TIGHTROPE_TEST_NCCL)
  set(standin_environment "LD_PRELOAD=$<TARGET_FILE:standin>")
endif()
target_precompile_headers(gradient_tests REUSE_FROM tightrope_learn)
foreach(np 1 2 4)
  add_test(NAME program_gradient_np${np} COMMAND ${MPIEXEC_EXECUTABLE} -n ${np} $<TARGET_FILE:gradient_tests>)
  set_tests_properties(program_gradient_np${np} PROPERTIES ENVIRONMENT "${mpi_environment};${standin_environment}"
                       LABELS "program;mpi" TIMEOUT 120 PROCESSORS 2)
endforeach()
