add_executable(failing_rank mpi/tools/failing_rank.cpp)
target_link_libraries(failing_rank PRIVATE tightrope_comm)
add_test(NAME mpi_failing_rank COMMAND ${MPIEXEC_EXECUTABLE} -n 2 $<TARGET_FILE:failing_rank>)
set_tests_properties(mpi_failing_rank PROPERTIES ENVIRONMENT "${mpi_environment}" TIMEOUT 20 LABELS mpi PROCESSORS 2
  PASS_REGULAR_EXPRESSION
  "rank 1 on host [^ ]+ at step 12: the last rank gives up \\(that is its job\\) expect exit code 1")
