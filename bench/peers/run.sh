#!/usr/bin/env bash
# Runs the peers from the Python registry on this machine:  bench/peers/run.sh OUTDIR
# OUTDIR/venv holds them (about 5 GB; never the product's), OUTDIR/peers.jsonl one row per line as they are measured,
# OUTDIR/peers.json and OUTDIR/peers.md the whole.  About 15 minutes on a quiet machine; SECONDS_PER_REPEAT=10 and
# REPEATS=3 may be set; ONLY=PATTERN measures the rows whose "peer task batch cores" match, e.g. ONLY='gfnx grid8'.
set -euo pipefail
out=${1:?usage: run.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)
seconds=${SECONDS_PER_REPEAT:-10} repeats=${REPEATS:-3} only=${ONLY:-.}
mkdir -p "$out"
out=$(cd "$out" && pwd)
python=$out/venv/bin/python
export PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore

if ! "$python" -c 'import gfn, gfnx' 2>/dev/null; then
  echo "installing torchgfn, gfnx and jax in $out/venv"
  python3 -m venv "$out/venv"
  "$python" -m pip install --quiet --upgrade pip
  "$python" -m pip install --quiet torchgfn==2.4.1 gfnx==0.0.1 'jax==0.7.1'
fi

# measure PEER TASK BATCH CORES WARMUP
measure() {
  local eigen=false
  [[ "$1 $2 $3 $4" =~ $only ]] || return 0
  [[ $4 -gt 1 ]] && eigen=true
  OMP_NUM_THREADS=$4 XLA_FLAGS="--xla_cpu_multi_thread_eigen=$eigen intra_op_parallelism_threads=$4" JAX_PLATFORMS=cpu \
    taskset -c "0-$(($4 - 1))" "$python" "$here/run_$1.py" --task "$2" --batch "$3" --threads "$4" --warmup "$5" \
    --seconds "$seconds" --repeats "$repeats" --out "$out/peers.jsonl"
}

rm -f "$out/peers.jsonl"
for peer in gfnx torchgfn; do
  for batch in 16 128; do
    measure $peer grid8 $batch 1 6144
    measure $peer grid20 $batch 1 16384
  done
  measure $peer grid8 128 2 6144
  measure $peer grid20 128 2 16384
  measure $peer grid20_sparse 128 1 16384
done
measure torchgfn bits 16 1 1600  # every trajectory has 16 transitions
python3 "$here/table.py" "$out"
