#!/usr/bin/env bash
# N jobs of one run, each after the one before, for sites that do not let jobs requeue themselves.
#   jobs/slurm_chain.sh N [OPTION OF SBATCH ... --] [DECK [--section.key=value ...]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || { echo "how many jobs?  jobs/slurm_chain.sh N [OPTION ... --] [DECK ...]"; exit 2; }
jobs=$1
shift
options=()
if [[ " $* " == *" -- "* ]]; then
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
fi
[ $# -gt 0 ] || set -- inputs/hypergrid.ini

job=$(sbatch --parsable --no-requeue "${options[@]}" jobs/slurm.sbatch "$@")
echo "$job"
words=()
for word in "$@"; do [[ $word == --run.restart=* ]] || words+=("$word"); done
for _ in $(seq 2 "$jobs"); do  # a job whose run is already finished ends at once
  job=$(sbatch --parsable --no-requeue --dependency="afterany:$job" "${options[@]}" jobs/slurm.sbatch "${words[@]}" \
    --run.restart=auto)
  echo "$job"
done
