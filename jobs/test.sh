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

# run_tests PRESET: of a build that is there.
run_tests() {
  local preset=$1 started=$SECONDS report=build/$1/tests.xml
  rm -f "$report"
  ctest --preset "$preset" --output-junit "$root/$report" || true
  say "$preset: tested in $((SECONDS - started)) s"
  if [ -s "$report" ]; then reports+=("$report"); else broken+=("$preset"); fi
}

# Most tests of the release wait for ranks more than they compute: the other builds go on beside them, nicely.
build_the_others() {
  renice -n 19 $BASHPID >/dev/null
  (configure_and_build asan unit_plain unit_torch mpi_tests) || touch build/asan.broken
  (configure_and_build tsan unit_plain) || touch build/tsan.broken
  if [ $fuzz = yes ]; then (configure_and_build fuzz) || touch build/fuzz.broken; fi
}

"$root/jobs/get-smollm2.sh" || say "SmolLM2 could not be made: its tests will fail"
others=(asan tsan)
fuzz=no
if tests/fuzz/fuzz.sh available; then
  fuzz=yes
  others+=(fuzz)
fi

(configure_and_build release) || exec python3 tests/checks/summary.py --broken release
say "release: built in $SECONDS s; testing, and building ${others[*]} beside it (build/others.log)"
rm -f build/*.broken
build_the_others >build/others.log 2>&1 &
run_tests release
wait
say "${others[*]}: built"
for preset in "${others[@]}"; do
  if [ -e "build/$preset.broken" ]; then
    cat build/others.log
    broken+=("$preset")
  else
    run_tests "$preset"
  fi
done
exec python3 tests/checks/summary.py --broken "${broken[*]:-}" "${reports[@]}"
