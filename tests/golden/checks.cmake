# The golden numbers: recomputed by their script (Python alone) and compared with the committed file.
add_test(NAME golden_numbers COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/make_golden.py --check)
set_tests_properties(golden_numbers PROPERTIES ENVIRONMENT PYTHONDONTWRITEBYTECODE=1 LABELS tool TIMEOUT 120)
