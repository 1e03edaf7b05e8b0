# What a reviewer should not have to look for.  Sanitizer builds run their own tests only (CMakePresets.json).
set(checks ${CMAKE_SOURCE_DIR}/tests/checks)
foreach(check layers budgets links)
  add_test(NAME check_${check} COMMAND ${Python3_EXECUTABLE} ${checks}/sources.py ${check})
endforeach()
add_test(NAME check_format COMMAND ${checks}/format.sh ${CMAKE_SOURCE_DIR})
add_test(NAME check_deck_page COMMAND ${checks}/deck_page.sh $<TARGET_FILE:tightrope> ${CMAKE_SOURCE_DIR}/docs/deck.md)
add_test(NAME check_summary COMMAND ${Python3_EXECUTABLE} ${checks}/summary_test.py)
add_test(NAME check_smollm2 COMMAND /usr/bin/python3 ${checks}/smollm2_test.py)  # needs NumPy: Debian's Python
add_test(NAME check_simulate COMMAND ${Python3_EXECUTABLE} ${checks}/simulate_test.py)
set_tests_properties(check_layers check_budgets check_links check_format check_deck_page check_summary check_smollm2
                     check_simulate PROPERTIES LABELS checks SKIP_RETURN_CODE 77 TIMEOUT 60)

if(TIGHTROPE_SANITIZE AND TARGET mpi_tests)
  target_sources(mpi_tests PRIVATE ${checks}/keep_plugins.cpp)
  set_target_properties(mpi_tests PROPERTIES ENABLE_EXPORTS ON)
  # GCC 12's leak sanitizer crashed over the threads' storage of a process that MPI was in ("Tracer caught signal 11"):
  # it is not searched, and what glibc keeps there is in lsan.supp.
  set_property(TEST mpi_np1 mpi_np2 mpi_np4 APPEND PROPERTY ENVIRONMENT
               "LSAN_OPTIONS=suppressions=${checks}/lsan.supp:print_suppressions=0:use_tls=0")
endif()

# The environment of CONTRIBUTING.md, put where the page says, is built into a program of its own and trained.
if(NOT TIGHTROPE_SANITIZE)
  set(contributed ${CMAKE_CURRENT_BINARY_DIR}/contributed)
  set(contributed_files src/tasks/bag.cpp src/tasks/registry.cpp include/tightrope/tasks/environments.hpp)
  list(TRANSFORM contributed_files PREPEND ${contributed}/)
  add_custom_command(
    OUTPUT ${contributed_files}
    COMMAND ${Python3_EXECUTABLE} ${checks}/contributing_test.py put ${CMAKE_SOURCE_DIR} ${contributed}
    DEPENDS ${checks}/contributing_test.py ${CMAKE_SOURCE_DIR}/CONTRIBUTING.md
            ${CMAKE_SOURCE_DIR}/src/tasks/registry.cpp ${CMAKE_SOURCE_DIR}/include/tightrope/tasks/environments.hpp)
  add_executable(contributed ${CMAKE_SOURCE_DIR}/apps/tightrope.cpp ${contributed_files})
  target_include_directories(contributed BEFORE PRIVATE ${contributed}/include)
  target_link_libraries(contributed PRIVATE tightrope_run)
  target_precompile_headers(contributed REUSE_FROM tightrope_learn)
  add_test(NAME contributing COMMAND /usr/bin/python3 ${checks}/contributing_test.py run $<TARGET_FILE:contributed>
           ${contributed})
  set_tests_properties(contributing PROPERTIES LABELS checks TIMEOUT 120 ENVIRONMENT "${mpi_environment}")
endif()
