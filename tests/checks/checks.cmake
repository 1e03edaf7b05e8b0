# What a reviewer should not have to look for.  Sanitizer builds run their own tests only (CMakePresets.json).
set(checks ${CMAKE_SOURCE_DIR}/tests/checks)
foreach(check layers budgets links)
  add_test(NAME check_${check} COMMAND ${Python3_EXECUTABLE} ${checks}/sources.py ${check})
endforeach()
add_test(NAME check_format COMMAND ${checks}/format.sh ${CMAKE_SOURCE_DIR})
add_test(NAME check_deck_page COMMAND ${checks}/deck_page.sh $<TARGET_FILE:tightrope> ${CMAKE_SOURCE_DIR}/docs/deck.md)
add_test(NAME check_summary COMMAND ${Python3_EXECUTABLE} ${checks}/summary_test.py)
set_tests_properties(check_layers check_budgets check_links check_format check_deck_page check_summary
                     PROPERTIES LABELS checks SKIP_RETURN_CODE 77 TIMEOUT 60)
