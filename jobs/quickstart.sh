#!/usr/bin/env bash
# From a fresh Debian 12 machine to a trained policy and its report: setup, release build, main job, plots.
# usage: jobs/quickstart.sh [--section.key=value ...]        inputs/hypergrid.ini on 4 ranks
#        jobs/quickstart.sh lm [--section.key=value ...]     inputs/sort3_smollm2.ini on 2 ranks: a language model,
#                                                            which jobs/get-smollm2.sh fetches (0.54 GB, Apache-2.0)
# --section.key=value: replaces a value of the deck
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

job=hypergrid ranks=4
if [ "${1:-}" = lm ]; then
  job=sort3_smollm2 ranks=2
  shift
fi
"$root/jobs/setup.sh"
configure_and_build release
[ $job = hypergrid ] || "$root/jobs/get-smollm2.sh"
say "main job: $ranks ranks on $(nproc) cores, inputs/$job.ini"
mpi_launch $ranks build/release/bin/tightrope inputs/$job.ini "$@"
say "report: runs/$job"
apps/tightrope-report runs/$job
