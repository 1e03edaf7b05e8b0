#!/usr/bin/env bash
# Everything that Tightrope needs on Debian 12: system packages and LibTorch.  Reuses what is there.
# usage: jobs/setup.sh [--tests] [--cuda]
#   --tests          also Slurm, a serial HDF5 and clang, for tests that need them
#   --cuda           LibTorch with its part for GPUs (4 GB), for the preset `cuda`; the CUDA toolkit is yours to install
#   LIBTORCH_ROOT    your own LibTorch (the folder with include/ and lib/): nothing is fetched
#   TIGHTROPE_CACHE  where LibTorch goes (default ~/.cache/tightrope)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

needed=(g++ cmake ninja-build pkg-config git openmpi-bin libopenmpi-dev libhdf5-openmpi-dev
  libboost-program-options-dev libgtest-dev librandom123-dev libxxhash-dev nlohmann-json3-dev libpcre2-dev
  python3 python3-pip python3-h5py python3-matplotlib clang-format unzip)
for_tests=(slurm-wlm slurmctld slurmd slurm-client munge libpmix-bin python3-venv libhdf5-dev hdf5-tools clang-14
  libclang-rt-14-dev)
torch_version=2.15.0
cuda_range='>=13,<14'  # what this LibTorch was built against

install_packages() {  # install_packages PACKAGE...
  local messages
  messages=$(as_root apt-get update -qq 2>&1 &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" 2>&1) ||
    { printf '%s\n' "$messages"; echo "error: apt-get could not install $*" >&2; return 1; }
}

system_packages() {
  command -v dpkg-query >/dev/null ||
    die "dpkg was not found (this is not Debian): provide the like of: ${needed[*]}"
  local missing
  mapfile -t missing < <(missing_packages "${needed[@]}")
  if [ ${#missing[@]} = 0 ]; then
    say "system packages: all ${#needed[@]} are here"
  elif can_be_root; then
    say "system packages: installing ${missing[*]}"
    install_packages "${missing[@]}"
  else
    die "these packages are missing and there is neither root nor sudo to install them: ${missing[*]}"
  fi
}

test_packages() {
  local missing
  mapfile -t missing < <(missing_packages "${for_tests[@]}")
  if [ ${#missing[@]} = 0 ]; then
    say "packages for tests: all ${#for_tests[@]} are here"
  elif can_be_root; then
    say "packages for tests: installing ${missing[*]}"
    install_packages "${missing[@]}" || say "packages for tests: could not be installed; their tests will be skipped"
  else
    say "packages for tests: missing (${missing[*]}), no root; their tests will be skipped"
  fi
}

libtorch_is_whole() {  # libtorch_is_whole FOLDER
  local file
  [ -z "$cuda" ] || [ -e "$1/torch/lib/libtorch_cuda.so" ] || return 1
  for file in torch/include/ATen/ATen.h torch/include/torch/csrc/api/include/torch/version.h \
    torch/lib/libtorch_cpu.so torch/lib/libc10.so nvidia/cu13/lib/libcudart.so.13 nvidia/cu13/lib/libcupti.so.13; do
    [ -e "$1/$file" ] || return 1
  done
}

# A Python with Hugging Face's libraries, to read our files back with; 5 GB, in its own folder.
interop_python() {
  local python target=${TIGHTROPE_CACHE:-$HOME/.cache/tightrope}/interop
  if "$target/bin/python" -c 'import torch, transformers, tokenizers' 2>/dev/null; then
    say "interop tests: Python here, $target"
    return
  fi
  python=$(first_python -m venv --help) || { say "interop tests: no Python with venv; they will be skipped"; return; }
  say "interop tests: fetching transformers and torch into $target"
  { "$python" -m venv --clear "$target" && "$target/bin/python" -m pip install --quiet --no-cache-dir \
    --disable-pip-version-check torch==$torch_version transformers==5.24.0 tokenizers safetensors; } ||
    say "interop tests: could not be installed; they will be skipped"
}

libtorch() {
  if [ -n "${LIBTORCH_ROOT:-}" ]; then
    [ -e "$LIBTORCH_ROOT/lib/libtorch_cpu.so" ] ||
      die "LIBTORCH_ROOT is '$LIBTORCH_ROOT', which has no lib/libtorch_cpu.so: give the folder with include/ and lib/"
    say "LibTorch: yours, $LIBTORCH_ROOT"
    return
  fi
  local cache=${TIGHTROPE_CACHE:-$HOME/.cache/tightrope} python minor wheel platforms=()
  local target=$cache/libtorch-$torch_version
  if libtorch_is_whole "$target"; then
    say "LibTorch $torch_version: here, $target"
    return
  fi
  python=$(first_python -m pip --version) ||
    die "no Python with pip was found (it fetches LibTorch): install python3-pip, or set LIBTORCH_ROOT"
  local size="560 MB" wheels=(--no-deps "torch==$torch_version" "nvidia-cuda-runtime$cuda_range"
    "nvidia-cuda-cupti$cuda_range") parts=(torch/lib/libtorch_cpu.so torch/lib/libc10.so torch/lib/libtorch.so
    'torch/lib/libgomp*.so*')
  [ -z "$cuda" ] || { size="3 GB, for GPUs" wheels=("torch==$torch_version") parts=('torch/lib/*.so*'); }
  say "LibTorch $torch_version: fetching ($size) into $target"
  mkdir -p "$cache"
  unpacked=$(mktemp -d "$cache/.unpack-XXXXXX")  # beside the target, so that the rename below is atomic
  trap 'rm -rf "$unpacked"' EXIT
  for minor in $(seq 28 -1 17); do platforms+=(--platform "manylinux_2_${minor}_x86_64"); done
  "$python" -m pip download --quiet --no-cache-dir --disable-pip-version-check --only-binary=:all: \
    --python-version 3.11 --implementation cp --abi cp311 --abi none "${platforms[@]}" --platform manylinux2014_x86_64 \
    --dest "$unpacked/wheels" "${wheels[@]}"
  unzip -q "$unpacked"/wheels/torch-*.whl 'torch/include/*' "${parts[@]}" -d "$unpacked/root"
  for wheel in "$unpacked"/wheels/nvidia_*.whl; do
    unzip -q "$wheel" 'nvidia/*/lib/*' -d "$unpacked/root" || [ $? = 11 ]  # 11: it has no libraries
  done
  chmod -R u+rwX,go+rX "$unpacked/root"
  libtorch_is_whole "$unpacked/root" ||
    die "the LibTorch wheels lack a file that they should hold: set LIBTORCH_ROOT instead"
  rm -rf "$target"  # only ever an incomplete one
  mv -T "$unpacked/root" "$target" 2>/dev/null || libtorch_is_whole "$target" || die "could not write $target"
}

tests="" cuda=""
for argument in "$@"; do
  case $argument in
    --tests) tests=yes ;;
    --cuda) cuda=yes ;;
    *) die "unknown argument '$argument': usage: jobs/setup.sh [--tests] [--cuda]" ;;
  esac
done
system_packages
[ -z "$tests" ] || { test_packages && interop_python; }
libtorch
say "setup: done"
