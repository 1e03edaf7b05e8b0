# On a Slurm that the test starts itself; each entry its own.
foreach(part job requeue kill array chain mpi)
  add_test(NAME slurm_${part}
           COMMAND ${CMAKE_SOURCE_DIR}/tests/slurm/check.sh ${part} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
  set_tests_properties(slurm_${part} PROPERTIES LABELS slurm SKIP_RETURN_CODE 77 TIMEOUT 240 PROCESSORS 2
                       RESOURCE_LOCK slurm)
endforeach()
