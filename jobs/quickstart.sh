#!/usr/bin/env bash
# From a fresh Debian 12 machine to a trained policy and its report: setup, release build, main job, plots.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/jobs/setup.sh"
configure_and_build release
say "main job: 4 ranks on $(nproc) cores, inputs/hypergrid.ini"
mpi_launch 4 build/release/bin/tightrope inputs/hypergrid.ini "$@"
say "report: runs/hypergrid"
apps/tightrope-report runs/hypergrid
