#!/usr/bin/env bash
# Fuzzing.  A finding ends with exit code 1 and leaves its input; once fixed, that input belongs into tests/fuzz/corpus.
#   fuzz.sh [SECONDS] [TARGET...]  builds the preset `fuzz` and runs each target (default: all, 600 s); what it learns
#                                  stays in build/fuzz/corpus, findings in build/fuzz/findings
#   fuzz.sh one PROGRAM SECONDS    the committed corpus first, then new inputs: what ctest runs
#   fuzz.sh available              says in a sentence why fuzzing cannot be, exit code 1, where it cannot
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

# run PROGRAM SECONDS FOLDER: new inputs into FOLDER/corpus/<target>, findings into FOLDER/findings.
run() {
  local target=${1##*/fuzz_} leaks=1
  [[ $target == checkpoint_* ]] && leaks=0  # HDF5 leaks where it refuses a file
  mkdir -p "$3/corpus/$target" "$3/findings"
  ASAN_OPTIONS=detect_leaks=$leaks:detect_container_overflow=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
    "$1" -max_total_time="$2" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=512 -max_len=65536 -print_final_stats=1 \
    -verbosity=0 -artifact_prefix="$3/findings/$target-" "$3/corpus/$target" "$here/corpus/$target"
}

available() {
  local probe rc=0
  command -v clang++-14 >/dev/null ||
    { echo "clang++-14 is not installed (jobs/setup.sh --tests installs it)"; return 1; }
  probe=$(mktemp -d)
  echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' >"$probe/probe.cpp"
  clang++-14 -fsanitize=fuzzer,address "$probe/probe.cpp" -o "$probe/probe" 2>/dev/null ||
    { rc=1; echo "clang++-14 has no libFuzzer (libclang-rt-14-dev; jobs/setup.sh --tests installs it)"; }
  rm -rf "$probe"
  return $rc
}

case ${1:-} in
  available) available ;;
  one)
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    run "$2" "$3" "$folder"  # libFuzzer prints a finding's bytes in base64, too
    ;;
  *)
    available
    seconds=${1:-600}
    targets=("${@:2}")
    [ ${#targets[@]} -gt 0 ] || targets=($(ls "$here/corpus"))
    cd "$root"
    cmake --preset fuzz >/dev/null
    cmake --build --preset fuzz -- --quiet
    bad=()
    for target in "${targets[@]}"; do
      echo "== $target, $seconds s"
      run "build/fuzz/bin/fuzz_$target" "$seconds" build/fuzz || bad+=("$target")
    done
    [ ${#bad[@]} = 0 ] || { echo "findings in: ${bad[*]}"; exit 1; }
    ;;
esac
