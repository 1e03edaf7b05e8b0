# Files and tools: metrics.h5 and checkpoints on 1, 2 and 4 ranks, tightrope-report, the recipes of docs/hdf5.md.
set(metrics_sources metrics_file.cpp metrics_columns.cpp)
set(checkpoint_sources checkpoint.cpp checkpoint_format.cpp checkpoint_folder.cpp checkpoint_read.cpp)
list(TRANSFORM metrics_sources PREPEND ${CMAKE_SOURCE_DIR}/src/run/)
list(TRANSFORM checkpoint_sources PREPEND ${CMAKE_SOURCE_DIR}/src/run/)

# Compiled here from their sources, so that neither program needs LibTorch.
add_executable(run_files tools/metrics_file_test.cpp tools/checkpoint_test.cpp mpi/main.cpp ${metrics_sources}
               ${checkpoint_sources})
target_link_libraries(run_files PRIVATE tightrope_comm GTest::gtest)
foreach(np 1 2 4)
  add_test(NAME run_files_np${np} COMMAND ${MPIEXEC_EXECUTABLE} -n ${np} $<TARGET_FILE:run_files>)
  set_tests_properties(run_files_np${np} PROPERTIES ENVIRONMENT "${mpi_environment}" TIMEOUT 60 LABELS "mpi;tool"
                       PROCESSORS 2)
endforeach()

add_executable(example_run tools/example_run.cpp ${metrics_sources})
target_link_libraries(example_run PRIVATE tightrope_comm)
foreach(check report recipes)
  add_test(NAME ${check} COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/tools/${check}_test.py
           $<TARGET_FILE:example_run> ${CMAKE_SOURCE_DIR})
  set_tests_properties(${check} PROPERTIES TIMEOUT 180 LABELS tool)
endforeach()
