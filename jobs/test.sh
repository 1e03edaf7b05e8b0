#!/usr/bin/env bash
# Sets up everything and runs every test: release (all), address + undefined sanitizers (unit, MPI on 2 ranks),
# thread sanitizer (the tests with neither Torch nor MPI), fuzz targets (seconds each).
# The last line is 'N passed, N failed, N skipped'.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/jobs/setup.sh" --tests
cd "$root"
reports=()
broken=()

# run_tests PRESET [TARGET...]: builds the targets, runs the preset's tests; a build that fails counts as a failure.
run_tests() {
  local preset=$1 started=$SECONDS report=build/$1/tests.xml
  rm -f "$report"
  if (configure_and_build "$@"); then
    say "$preset: built in $((SECONDS - started)) s; testing"
    started=$SECONDS
    ctest --preset "$preset" --output-junit "$root/$report" || true
    say "$preset: tested in $((SECONDS - started)) s"
  fi
  if [ -s "$report" ]; then reports+=("$report"); else broken+=("$preset"); fi
}

if "$root/jobs/get-smollm2.sh"; then  # parity with a real model, once: under sanitizers it would take too long
  export TIGHTROPE_SMOLLM2=$root/models/SmolLM2-135M-Instruct
else
  say "SmolLM2: could not be made; its tests will be skipped"
fi
run_tests release
unset TIGHTROPE_SMOLLM2
run_tests asan unit_plain unit_torch mpi_tests
run_tests tsan unit_plain
if tests/fuzz/fuzz.sh available; then run_tests fuzz; fi
exec python3 tests/checks/summary.py --broken "${broken[*]:-}" "${reports[@]}"
