# What the trainers do together.  NCCL's part runs over stand-ins for CUDA and NCCL (standin.hpp), which are preloaded:
# the programs are linked with the real libraries.
set(standin ${CMAKE_SOURCE_DIR}/tests/standin)
add_library(collective_cases OBJECT ${standin}/collective_test.cpp ${standin}/nccl_test.cpp mpi/main.cpp)
target_link_libraries(collective_cases PUBLIC tightrope_comm GTest::gtest ${CMAKE_DL_LIBS})
add_executable(collective_tests)
target_link_libraries(collective_tests PRIVATE collective_cases)

if(TARGET nccl AND NOT TIGHTROPE_SANITIZE)
  add_library(standin SHARED ${standin}/cuda_standin.cpp ${standin}/nccl_standin.cpp)
  target_include_directories(standin PRIVATE ${CMAKE_SOURCE_DIR}/include)
  target_include_directories(standin SYSTEM PRIVATE ${NCCL_INCLUDE} ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(standin PRIVATE Threads::Threads)
  set(standin_environment "LD_PRELOAD=$<TARGET_FILE:standin>")

  # What the preset `cuda` has in place of nccl_absent.cpp: no archive's member is taken where a program has its own.
  add_library(nccl_objects OBJECT ${nccl_all})
  target_link_libraries(nccl_objects PUBLIC tightrope_comm nccl)
  target_compile_definitions(collective_cases PRIVATE TIGHTROPE_TEST_NCCL)
  target_link_libraries(collective_tests PRIVATE nccl_objects)
  add_executable(tightrope_nccl ${CMAKE_SOURCE_DIR}/apps/tightrope.cpp)
  target_link_libraries(tightrope_nccl PRIVATE nccl_objects tightrope_run)
  add_test(NAME standin_symbols COMMAND ${Python3_EXECUTABLE} ${standin}/symbols.py ${standin}/symbols.txt
           $<TARGET_FILE:standin> ${NCCL_LIBRARY} ${CUDA_cudart_LIBRARY} $<TARGET_OBJECTS:nccl_objects>)
  set_tests_properties(standin_symbols PROPERTIES LABELS checks TIMEOUT 60)
  add_test(NAME standin_real_libraries COMMAND tightrope_nccl ${CMAKE_SOURCE_DIR}/inputs/smoke/hypergrid.ini --check
           --collective.kind=nccl)
  set_tests_properties(standin_real_libraries PROPERTIES LABELS checks TIMEOUT 60 ENVIRONMENT "${mpi_environment}"
    PASS_REGULAR_EXPRESSION "collective.kind = nccl needs a GPU per trainer;beside the backward pass")
  add_test(NAME cuda_preset COMMAND ${CMAKE_COMMAND} --preset cuda -S ${CMAKE_SOURCE_DIR}
           -B ${CMAKE_CURRENT_BINARY_DIR}/cuda_preset -DTIGHTROPE_TESTS=OFF)
  set_tests_properties(cuda_preset PROPERTIES LABELS checks TIMEOUT 120 WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    PASS_REGULAR_EXPRESSION "CUDA [0-9.]+, NCCL 2[0-9.]+: trainers on GPUs or CPUs")
else()
  add_test(NAME standin_symbols COMMAND sh -c "echo 'skipped: no CUDA toolkit with NCCL 2.19 or newer here'; exit 77")
  set_tests_properties(standin_symbols PROPERTIES LABELS checks SKIP_RETURN_CODE 77)
endif()

foreach(np 1 2 3 4)
  add_test(NAME collective_np${np} COMMAND ${MPIEXEC_EXECUTABLE} -n ${np} $<TARGET_FILE:collective_tests>)
  set_tests_properties(collective_np${np} PROPERTIES ENVIRONMENT "${mpi_environment};${standin_environment}" TIMEOUT 180
                       LABELS mpi PROCESSORS 2)
endforeach()

# mutant(NAME SOURCE CAUGHT [CASES]): the real source with one mistake (mutate.py), which the tests must find.
function(mutant name source caught cases)
  if(NOT TARGET nccl_objects)
    return()
  endif()
  set(mutated ${CMAKE_CURRENT_BINARY_DIR}/mutants/${name}.cpp)
  add_custom_command(OUTPUT ${mutated} COMMAND ${Python3_EXECUTABLE} ${standin}/mutate.py ${name}
                     ${CMAKE_SOURCE_DIR}/${source} ${mutated}
                     DEPENDS ${standin}/mutate.py ${CMAKE_SOURCE_DIR}/${source})
  set(others ${nccl_all})
  list(REMOVE_ITEM others ${CMAKE_SOURCE_DIR}/${source})
  add_executable(mutant_${name} ${mutated} ${ARGN})
  target_include_directories(mutant_${name} PRIVATE ${CMAKE_SOURCE_DIR}/src/comm)
  target_link_libraries(mutant_${name} PRIVATE collective_cases nccl)
  add_test(NAME mutant_${name} COMMAND ${MPIEXEC_EXECUTABLE} -n 2 $<TARGET_FILE:mutant_${name}> --gtest_filter=${cases})
  set_tests_properties(mutant_${name} PROPERTIES ENVIRONMENT "${mpi_environment};${standin_environment}" TIMEOUT 120
                       LABELS mpi PROCESSORS 2 PASS_REGULAR_EXPRESSION "${caught}")
endfunction()
set(nccl_source src/comm/nccl_collective.cpp)
set(device_source ${CMAKE_SOURCE_DIR}/src/comm/nccl_gpu.cpp)
set(wrong_sum "FAILED Nccl/Transports.ManyBucketsAtOnce")
mutant(sum_before_it_arrived ${nccl_source} "${wrong_sum}" "Nccl/*ManyBuckets*" ${device_source})
mutant(sum_before_it_is_computed ${nccl_source} "FAILED Nccl.SumsWhatLiesOnTheGpu" "Nccl.SumsWhat*" ${device_source})
mutant(copy_before_it_is_summed ${nccl_source} "${wrong_sum}" "Nccl/*ManyBuckets*" ${device_source})
mutant(unpack_before_it_left ${nccl_source} "${wrong_sum}" "Nccl/*ManyBuckets*" ${device_source})
mutant(count_in_bytes ${nccl_source} "stand-in: device memory is used .* beyond its end" "Nccl/*ManyBuckets*"
       ${device_source})
mutant(root_differs ${nccl_source} "stand-in: rank . is in Broadcast of .* from rank " "Nccl/*TheFirst*"
       ${device_source})
mutant(root_without_values ${nccl_source} "FAILED Nccl/Transports.TheFirstTrainersValuesForAll" "Nccl/*TheFirst*"
       ${device_source})
mutant(use_after_abort ${nccl_source} "stand-in: a communicator is used after ncclCommAbort" "Nccl.AnError*"
       ${device_source})
mutant(buckets_swapped_on_a_rank src/comm/gradient_sum.cpp "stand-in: rank . is in AllReduce of" "Nccl/*ManyBuckets*"
       ${nccl_all})
