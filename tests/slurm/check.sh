#!/usr/bin/env bash
# Tests on a real Slurm of two nodes on this machine.
# usage: check.sh job FOLDER_OF_PROGRAMS     submits jobs/slurm.sbatch with a smoke deck, checks exit code and metrics
#        check.sh mpi FOLDER_OF_PROGRAMS     mpi_tests over both nodes
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$2

skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "a Slurm cluster of one's own needs root"
for command in slurmctld slurmd srun sbatch; do
  command -v "$command" >/dev/null || skip "$command is not installed (jobs/setup.sh --tests installs it)"
done
unshare -m true 2>/dev/null || skip "no mount namespaces here (unshare -m fails), so there can be no second node"

work=$(mktemp -d /tmp/tightrope-slurm-XXXXXX)
cleanup() {
  "$here/cluster.sh" down "$work/cluster" || true
  rm -rf "$work" 2>/dev/null || true
}
trap cleanup EXIT
"$here/cluster.sh" up "$work/cluster" 2 8
export SLURM_CONF=$work/cluster/slurm.conf
# The nodes share this machine: UCX must not find the memory between them, and waiting ranks leave the cores to others.
export UCX_TLS=tcp,self OMPI_MCA_mpi_yield_when_idle=1

job() {
  local out=$work/job.out
  cd "$here/../.."
  TIGHTROPE=$bin/tightrope sbatch --wait --time=5 --ntasks-per-node=1 --output="$out" jobs/slurm.sbatch \
    inputs/smoke/hypergrid.ini --run.folder="$work" --run.name=run || { cat "$out"; echo "the job failed"; exit 1; }
  tail -n 3 "$out"
  [ -s "$work/run/metrics.h5" ] || { echo "the job left no metrics.h5 in its run folder"; ls -R "$work/run"; exit 1; }
  scontrol show job | grep -E 'JobState|NodeList=n|ExitCode'
  scontrol show job | grep -q 'JobState=COMPLETED' && scontrol show job | grep -q 'ExitCode=0:0'
}

# Without the mutants that wait for a torn read: over TCP one is too rare to be sure of; they run on shared memory.
mpi() {  # mpi RANKS_PER_NODE
  OMP_NUM_THREADS=1 srun --mpi=pmix --nodes=2 --ntasks-per-node="$1" --time=5 "$bin/mpi_tests" \
    --gtest_filter=-'*Mutant.TornReads*'
}

case $1 in
  job) job ;;
  mpi) mpi 1 ;;  # two ranks per node hang in Open MPI now and then: docs/decisions.md, 28
esac
