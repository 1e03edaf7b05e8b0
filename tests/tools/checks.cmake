# Files and tools: metrics.h5 and checkpoints on 1, 2 and 4 ranks, tightrope-inspect, tightrope-report, docs/hdf5.md.
set(run_files_sources tools/metrics_file_test.cpp tools/checkpoint_test.cpp mpi/main.cpp)
add_executable(run_files ${run_files_sources})
target_link_libraries(run_files PRIVATE tightrope_files GTest::gtest)
set(run_files_programs run_files)

# The same, and the wrapper's own tests, once more with a serial HDF5.
if(TARGET hdf5_serial)
  add_executable(run_files_serial ${run_files_sources} mpi/hdf5_test.cpp ${hdf5_all} $<TARGET_OBJECTS:tightrope_files>)
  target_link_libraries(run_files_serial PRIVATE tightrope_mpi hdf5_serial GTest::gtest)
  list(APPEND run_files_programs run_files_serial)
else()
  add_test(NAME run_files_serial COMMAND sh -c
           "echo 'skipped: no serial HDF5 on this machine (libhdf5-dev; jobs/setup.sh --tests installs it)'; exit 77")
  set_tests_properties(run_files_serial PROPERTIES LABELS tool SKIP_RETURN_CODE 77)
endif()
foreach(program ${run_files_programs})
  foreach(np 1 2 4)
    add_test(NAME ${program}_np${np} COMMAND ${MPIEXEC_EXECUTABLE} -n ${np} $<TARGET_FILE:${program}>)
    set_tests_properties(${program}_np${np} PROPERTIES ENVIRONMENT "${mpi_environment}" TIMEOUT 60 LABELS "mpi;tool"
                         PROCESSORS 2)
  endforeach()
endforeach()

add_executable(example_run tools/example_run.cpp)
target_link_libraries(example_run PRIVATE tightrope_files)
foreach(check report compare recipes)
  add_test(NAME ${check} COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/tools/${check}_test.py
           $<TARGET_FILE:example_run> ${CMAKE_SOURCE_DIR})
  set_tests_properties(${check} PROPERTIES TIMEOUT 180 LABELS tool)
endforeach()

# On what the program itself writes.
foreach(check inspect schema format_version report_checkpoint)
  add_test(NAME ${check} COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/tools/${check}_test.py)
  set_tests_properties(${check} PROPERTIES TIMEOUT 180 LABELS tool PROCESSORS 2 ENVIRONMENT
                       "${program_environment};TIGHTROPE_INSPECT=$<TARGET_FILE:tightrope-inspect>")
endforeach()
