# Our files and ids against Hugging Face's own libraries, in a Python that jobs/setup.sh --tests makes.
set(interop_python "$ENV{TIGHTROPE_CACHE}")
if(NOT interop_python)
  set(interop_python "$ENV{HOME}/.cache/tightrope")
endif()
string(APPEND interop_python "/interop/bin/python")
if(NOT EXISTS ${interop_python})
  set(interop_python ${Python3_EXECUTABLE})
endif()
set(fixtures ${CMAKE_SOURCE_DIR}/tests/fixtures)
add_test(NAME interop_export
         COMMAND ${interop_python} ${CMAKE_CURRENT_LIST_DIR}/export_interop.py --program $<TARGET_FILE:tightrope>
                 --generate $<TARGET_FILE:tightrope-generate> --export $<TARGET_FILE:tightrope-export>
                 --model ${fixtures}/models/tiny_text)
file(GLOB tokenizer_fixtures ${fixtures}/tokenizers/*.json
     ${CMAKE_SOURCE_DIR}/models/SmolLM2-135M-Instruct/tokenizer.json)
list(FILTER tokenizer_fixtures EXCLUDE REGEX "(variants|cases)")
add_test(NAME interop_tokenizer
         COMMAND ${interop_python} ${CMAKE_CURRENT_LIST_DIR}/tokenizer_interop.py --tool $<TARGET_FILE:tokenize_tool>
                 --tokenizer ${tokenizer_fixtures} --count 10000)
set_tests_properties(interop_export interop_tokenizer PROPERTIES LABELS interop SKIP_RETURN_CODE 77 TIMEOUT 300
                     ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
