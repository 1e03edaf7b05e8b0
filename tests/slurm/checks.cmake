# On a Slurm that the test starts itself; each entry its own.  Jobs wait more than they compute: all but the MPI tests
# may run beside a test of two ranks.
if(TARGET nccl AND NOT TIGHTROPE_SANITIZE)  # tests/standin
  set(standin_library $<TARGET_FILE:standin>)
endif()
foreach(part job requeue kill array chain gpu mpi)
  add_test(NAME slurm_${part}
           COMMAND ${CMAKE_SOURCE_DIR}/tests/slurm/check.sh ${part} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
                   ${standin_library})
  set_tests_properties(slurm_${part} PROPERTIES LABELS slurm SKIP_RETURN_CODE 77 TIMEOUT 240
                       RESOURCE_LOCK slurm)
endforeach()
set_tests_properties(slurm_mpi PROPERTIES PROCESSORS 2)
