#!/usr/bin/env bash
# Runs the language-model peers on this machine:  bench/peers/lm.sh MODEL_FOLDER OUTDIR
# Peers: transformers on torch, and llama.cpp built from the source distribution of llama-cpp-python; float32, 16 bits;
# on core 0 alone and on cores 0 and 1.  OUTDIR/venv-lm holds them, OUTDIR/llama the build and the GGUF files of
# MODEL_FOLDER (remove it for another model), OUTDIR/lm_peers.jsonl one row per line, which bench/lm.py compares.
# PYTHON_LM names a Python that has torch and transformers, instead of a venv-lm (several GB).  REPEATS=3,
# SECONDS_PER_ROW=60 (no further repeat after so long) and BUILD_JOBS=2 may be set; ONLY=PATTERN measures the parts
# whose "peer what threads" match, e.g. ONLY='transformers train 1', and adds their rows.
set -euo pipefail
model=${1:?usage: lm.sh MODEL_FOLDER OUTDIR} out=${2:?usage: lm.sh MODEL_FOLDER OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)
repeats=${REPEATS:-3} seconds=${SECONDS_PER_ROW:-60} only=${ONLY:-.} source=llama_cpp_python-0.3.36
mkdir -p "$out/llama"
out=$(cd "$out" && pwd) model=$(cd "$model" && pwd)
python=${PYTHON_LM:-$out/venv-lm/bin/python} vendored=$out/llama/$source/vendor/llama.cpp
bench=$out/llama/build/bin/llama-batched-bench
export PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore HF_HUB_OFFLINE=1

if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
  echo "installing torch and transformers in $out/venv-lm"
  python3 -m venv "$out/venv-lm"
  "$python" -m pip install --quiet --upgrade pip
  "$python" -m pip install --quiet torch==2.15.0 transformers==5.24.0 numpy
fi

if [[ ! -x $bench ]]; then
  echo "building llama.cpp of $source in $out/llama"
  (cd "$out/llama" && "$python" -m pip download --quiet --no-binary llama-cpp-python --no-deps llama-cpp-python==0.3.36)
  tar -xf "$out/llama/$source.tar.gz" -C "$out/llama"
  cmake -S "$vendored" -B "$out/llama/build" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DGGML_CUDA=OFF \
    -DBUILD_SHARED_LIBS=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
    -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF >"$out/llama/build.log"
  nice -n 19 cmake --build "$out/llama/build" --target llama-batched-bench -- -j"${BUILD_JOBS:-2}" \
    >>"$out/llama/build.log"
fi

# gguf TYPE PRECISION: MODEL_FOLDER in llama.cpp's format; its converter wants sentencepiece, whatever the tokenizer
gguf() {
  [[ -f $out/llama/$2.gguf ]] && return
  [[ -d $out/llama/python ]] || "$python" -m pip install --quiet --no-deps --target "$out/llama/python" sentencepiece
  PYTHONPATH=$out/llama/python "$python" "$vendored/convert_hf_to_gguf.py" "$model" --outtype "$1" \
    --outfile "$out/llama/$2.part" >"$out/llama/$2.log" 2>&1 || { tail -5 "$out/llama/$2.log" && exit 1; }
  mv "$out/llama/$2.part" "$out/llama/$2.gguf"
}
gguf f32 float32
gguf bf16 bfloat16
gguf f16 float16

# measure PEER WHAT THREADS ARGUMENTS...
measure() {
  local peer=$1 what=$2 threads=$3
  shift 3
  [[ "$peer $what $threads" =~ $only ]] || return 0
  OMP_NUM_THREADS=$threads taskset -c "0-$((threads - 1))" "$python" "$here/run_$peer.py" "$@" --what "$what" \
    --threads "$threads" --repeats "$repeats" --seconds "$seconds" --out "$out/lm_peers.jsonl"
}

[[ $only != . ]] || rm -f "$out/lm_peers.jsonl"  # a part is added to what is there
given=${PYTHON_LM:+, given by PYTHON_LM}
echo "Python of the peers: $("$python" --version)$given; load $(cut -d' ' -f1-3 /proc/loadavg)"
for threads in 1 2; do
  for what in decode score; do
    measure llama "$what" $threads "$bench" "$out/llama" --source "$source"
    measure transformers "$what" $threads "$model"
  done
  measure transformers train $threads "$model"
  measure transformers load $threads "$model"
done
