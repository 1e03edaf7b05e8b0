# Runs that are killed at moments of chance and go on.  By hand: tests/fault/fault.py SEED 200
add_test(NAME fault COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/fault/fault.py 1 20)
set_tests_properties(fault PROPERTIES LABELS program TIMEOUT 600 PROCESSORS 2
  ENVIRONMENT "${mpi_environment};TIGHTROPE=$<TARGET_FILE:tightrope>;MPIEXEC=${MPIEXEC_EXECUTABLE};\
TIGHTROPE_SOURCE=${CMAKE_SOURCE_DIR};PYTHONDONTWRITEBYTECODE=1")
