# Trained to the exact answer.  TIGHTROPE_SEEDS: how many seeds of each deck.
foreach(part one_trainer_three_searchers two_trainers_two_searchers four_trainers_four_searchers sparse_reward)
  add_test(NAME regression_${part}
           COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/regression/hypergrid_test.py Hypergrid.test_${part})
  set(seeds 3)
  if(part MATCHES "sparse_reward|four_searchers")
    set(seeds 1)
  endif()
  set_tests_properties(regression_${part} PROPERTIES ENVIRONMENT "${program_environment};TIGHTROPE_SEEDS=${seeds}"
                       LABELS regression TIMEOUT 400 PROCESSORS 2)
endforeach()

add_test(NAME regression_tokens COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/regression/tokens_test.py)
set_tests_properties(regression_tokens PROPERTIES ENVIRONMENT "${program_environment}" LABELS regression TIMEOUT 300
                     PROCESSORS 2)
