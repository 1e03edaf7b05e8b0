#!/usr/bin/env bash
# A run on this machine that goes on after every stop that leaves it unfinished (exit code 75: run.wall_time, a signal).
#   jobs/local.sh RANKS DECK [--section.key=value ...]
# Ctrl-C: checkpoint and stop, to go on later with --run.restart=auto; a second Ctrl-C: at once.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ $# -ge 2 ] || die "how many ranks, and which deck?  jobs/local.sh RANKS DECK [--section.key=value ...]"
ranks=$1
shift
program=${TIGHTROPE:-$root/build/release/bin/tightrope}

launcher="" asked=0
stop() {
  asked=$((asked + 1))
  # mpirun hands SIGUSR1 on to the ranks at once and gives them time; SIGINT and SIGTERM leave them a second.
  if [ $asked -eq 1 ]; then kill -USR1 "$launcher"; else kill -TERM "$launcher"; fi 2>/dev/null || true
}
trap stop INT TERM USR1

prepare_mpi "$ranks"
while true; do
  set -m  # a process group of its own, so that Ctrl-C reaches this script alone
  mpirun -n "$ranks" "${mpi_flags[@]}" "$program" "$@" </dev/null &
  set +m
  launcher=$! seen=-1
  while [ $seen -ne $asked ]; do  # a signal ends `wait` early
    seen=$asked code=0
    wait "$launcher" || code=$?
  done
  if [ $code -ne 75 ] || [ $asked -gt 0 ]; then exit $code; fi
  say "not finished (exit code 75): going on from the newest checkpoint"
  words=()
  for word in "$@"; do [[ $word == --run.restart=* ]] || words+=("$word"); done
  set -- "${words[@]}" --run.restart=auto
done
