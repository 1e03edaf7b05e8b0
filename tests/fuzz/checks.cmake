# The fuzz targets are built by a preset of their own; here only the sentence where that cannot be.
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz.sh available OUTPUT_VARIABLE why_no_fuzzing
                RESULT_VARIABLE no_fuzzing OUTPUT_STRIP_TRAILING_WHITESPACE)
if(no_fuzzing)
  add_test(NAME fuzz COMMAND sh -c "echo 'skipped: ${why_no_fuzzing}'; exit 77")
  set_tests_properties(fuzz PROPERTIES LABELS fuzz SKIP_RETURN_CODE 77)
endif()
