#!/usr/bin/env bash
# Tests on a real Slurm of two nodes on this machine, with the repository's own jobs/*.
# usage: check.sh PART FOLDER_OF_PROGRAMS [STAND-IN_OF_CUDA]
#   job      jobs/slurm.sbatch from start to end: exit code, metrics, a local level of checkpoints; two trainers on two
#            nodes are refused one
#   requeue  SIGUSR1 before the time limit: checkpoint, exit code 75, requeue, restart, done
#   kill     kill -9 of a rank, once a checkpoint is there: requeue, restart, done; scancel: no requeue
#   array    jobs/slurm_array.sbatch: three runs, and the report over them
#   chain    jobs/slurm_chain.sh: a job that is stopped, and one that goes on
#   gpu      jobs/slurm_gpu.sbatch: without a GPU a clear end; over the stand-in (tests/standin) to the end
#   mpi      mpi_tests over both nodes
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$2 standin=${3:-}

skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "a Slurm cluster of one's own needs root"
for command in slurmctld slurmd srun sbatch; do
  command -v "$command" >/dev/null || skip "$command is not installed (jobs/setup.sh --tests installs it)"
done
[ "$1" != gpu ] || [ -n "$standin" ] || skip "no CUDA toolkit with NCCL 2.19 or newer here"
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
export TIGHTROPE=$bin/tightrope
export SBATCH_TIMELIMIT=30 SLURM_WAIT=5  # minutes; seconds
deck=inputs/smoke/hypergrid.ini
here_run=(--run.folder="$work" --run.name=run)
endless=(--trainer.steps=1000000 --run.interval=10 --evaluation.every=0)
cd "$here/../.."

fail() {
  echo "failed: $*"
  tail -n 20 "$work"/*.out || true
  scontrol show job || true
  exit 1
}

# wait_until SECONDS WHAT COMMAND...
wait_until() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $end ] || fail "$what: not in time"
    sleep 0.2
  done
}

field() { scontrol show job -o "$1" | grep -o "\b$2=[^ ]*" | head -n 1 | cut -d = -f 2; }  # field JOB NAME
is() { [ "$(field "$1" "$2")" = "$3" ]; }                                                  # is JOB NAME VALUE
ended() { case $(field "$1" JobState) in COMPLETED | FAILED | CANCELLED | TIMEOUT) ;; *) false ;; esac; }
done_well() {  # done_well JOB SECONDS: waits for its end
  wait_until "$2" "the end of job $1" ended "$1"
  { is "$1" JobState COMPLETED && is "$1" ExitCode 0:0; } || fail "job $1 did not end well"
}
said() { grep -q -- "$1" "$work"/*.out || fail "no line with: $1"; }

# metrics RUN RESTARTS: the run's metrics.h5 tells of so many restarts, goes on after the last and has no row twice.
metrics() {
  /usr/bin/python3 - "$work/$1/metrics.h5" "$2" <<'END' || fail "metrics.h5 of $1"
import sys, h5py
with h5py.File(sys.argv[1], "r") as file:
    steps, restarts = file["training/step"][:], file.attrs["restarts"].splitlines()
print(f"steps {steps[0]:.0f} to {steps[-1]:.0f} in {len(steps)} rows, restarts: {restarts}")
assert len(restarts) == int(sys.argv[2]) and (steps[1:] > steps[:-1]).all()
assert not restarts or steps[-1] > int(restarts[-1].split()[-1])
END
}

submit() { sbatch --parsable --ntasks-per-node=1 --output="$work/job-%j.out" "$@"; }

# requeued JOB: waits until it is queued again, and starts it at once; Slurm would hold it for two minutes.
requeued() {
  wait_until 60 "a requeue of job $1" is "$1" Restarts 1
  wait_until 30 "job $1 pending" is "$1" JobState PENDING
  sleep 3  # the nodes are still cleaning up: a job that comes back within the second can end with code 1
  scontrol update JobId="$1" StartTime=now TimeLimit=30
}

started() { wait_until 60 "$2 in the log of job $1" grep -qs "^$2" "$work/job-$1.out"; }  # started JOB TEXT

# finished JOB: the run has gone on from its checkpoint; told to end now, it ends well.
finished() {
  started "$1" "restarted at step"
  sleep 2
  touch "$work/run/STOP"
  done_well "$1" 60
  metrics run 1
}

job() {
  local id
  id=$(submit --ntasks-per-node=2 jobs/slurm.sbatch "$deck" "${here_run[@]}" \
    --checkpoint.local="$work/local")
  done_well "$id" 200
  is "$id" NodeList 'n[1-2]' || fail "not on two nodes"
  metrics run 0
  test -s "$work/local/"run-*/LATEST || fail "no checkpoint on the trainer's node"
  local_level_refused
}

# Trainers on two nodes write one file: no folder is local to both.
local_level_refused() {
  local code=0
  srun --mpi=pmix --nodes=2 --ntasks-per-node=1 --time=5 "$TIGHTROPE" "$deck" --run.folder="$work" --run.name=refused \
    --world.trainers=2 --checkpoint.local="$work/local" >"$work/refused.out" 2>&1 || code=$?
  [ $code -ne 0 ] || fail "checkpoint.local over two nodes was accepted"
  said "checkpoint.local cannot be used here (the trainers are on several nodes"
}

requeue() {
  local id
  id=$(submit --time=1 --signal=USR1@40 jobs/slurm.sbatch "$deck" "${here_run[@]}" "${endless[@]}")
  requeued "$id"
  said "not finished (SIGUSR1)"
  said "exit code 75"
  finished "$id"
}

kill_rank() {
  local id pid
  id=$(submit jobs/slurm.sbatch "$deck" "${here_run[@]}" "${endless[@]}" --checkpoint.every=100)
  wait_until 60 "a checkpoint" test -s "$work/run/LATEST"
  for pid in $(pidof "$TIGHTROPE"); do
    tr '\0' '\n' <"/proc/$pid/environ" | grep -qx SLURM_PROCID=1 && kill -9 "$pid"
  done
  requeued "$id"
  finished "$id"

  id=$(submit jobs/slurm.sbatch "$deck" "${here_run[@]}" "${endless[@]}")
  started "$id" "run "
  scancel "$id"
  wait_until 60 "the end of job $id" ended "$id"
  is "$id" JobState CANCELLED || fail "a cancelled job went on"
}

array() {
  local id element
  printf 'trainer.learning_rate=%s\n' 1e-3 2e-3 '4e-3 trainer.batch=32' >"$work/sweep.txt"
  id=$(sbatch --parsable --array=0-2 --output="$work/job-%A_%a.out" --ntasks-per-node=1 jobs/slurm_array.sbatch \
    "$work/sweep.txt" "$deck" --run.folder="$work")
  for element in 0 1 2; do done_well "${id}_$element" 120; done
  for element in 0 1 2; do metrics "sweep-$id-$element" 0; done
  apps/tightrope-report --no-plots "$work/sweep-$id"-* >"$work/report.txt" || fail "the report"
  cat "$work/report.txt"
  for element in 0 1 2; do grep -q "sweep-$id-$element" "$work/report.txt" || fail "the report lacks run $element"; done
  grep -q '4e-3\|0\.004' "$work/sweep-$id-2/deck.ini" || fail "the sweep's words did not reach the run"
}

chain() {
  local ids
  mapfile -t ids < <(jobs/slurm_chain.sh 2 --ntasks-per-node=1 --output="$work/job-%j.out" -- "$deck" "${here_run[@]}" \
    "${endless[@]}")
  started "${ids[0]}" "run "
  scancel --signal=USR1 "${ids[0]}"
  wait_until 60 "the end of job ${ids[0]}" ended "${ids[0]}"
  is "${ids[0]}" ExitCode 75:0 || fail "the first job was not interrupted"
  said "not requeued"
  finished "${ids[1]}"
}

gpu() {
  local id size=(--nodes=1 --ntasks-per-node=2 --cpus-per-task=1 --gpus-per-node=2)
  export TIGHTROPE=$bin/tightrope_nccl
  gpu_job() { submit "${size[@]}" jobs/slurm_gpu.sbatch "$deck" "${here_run[@]}"; }
  id=$(gpu_job)
  wait_until 100 "the end of job $id" ended "$id"
  is "$id" ExitCode 2:0 || fail "job $id did not end as with a wrong deck"
  said "collective.kind = nccl needs a GPU per trainer (.*: 2 trainers; 0 GPUs are visible to one of them) run "
  id=$(LD_PRELOAD=$standin STANDIN_GPUS=2 DEVICE=auto gpu_job)  # LibTorch cannot compute on it
  done_well "$id" 200
  said "nccl 2"
  metrics run 0
}

# Without the mutants that wait for a torn read: over TCP one is too rare to be sure of; they run on shared memory.
mpi() {
  OMP_NUM_THREADS=1 srun --mpi=pmix --nodes=2 --ntasks-per-node=2 --time=5 "$bin/mpi_tests" \
    --gtest_filter=-'*Mutant.TornReads*'
}

case $1 in
  job | requeue | array | chain | gpu) "$1" ;;
  kill) kill_rank ;;
  mpi) mpi ;;
esac
