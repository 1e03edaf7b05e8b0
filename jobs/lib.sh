# Shared by the scripts of jobs/ and tests/; sourced, never run.  Sets `root` (the repository) and a few functions.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Prints those of the named Debian packages that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s\n' "$package"
  done
}

# first_python ARGUMENT...: prints the first Python that runs with these arguments; Debian's own before others.
first_python() {
  local python
  for python in /usr/bin/python3 python3 python; do
    "$python" "$@" >/dev/null 2>&1 && { echo "$python"; return; }
  done
  return 1
}

# True where as_root can work: as root, with sudo that asks nothing, or with sudo and somebody to ask.
can_be_root() { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# prepare_mpi RANKS: sets `mpi_flags` for mpirun.  Where cores are fewer than ranks, the ranks share them politely.
prepare_mpi() {
  mpi_flags=()
  if [ "$(id -u)" = 0 ]; then  # Open MPI refuses root unless told twice
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
  if [ "$(nproc)" -lt "$1" ]; then
    mpi_flags=(--oversubscribe --bind-to none)
    export OMPI_MCA_mpi_yield_when_idle=1
  fi
}

# mpi_launch RANKS COMMAND...
mpi_launch() {
  local ranks=$1
  shift
  prepare_mpi "$ranks"
  mpirun -n "$ranks" "${mpi_flags[@]}" "$@"
}

# configure_and_build PRESET [TARGET...]
configure_and_build() {
  local preset=$1
  shift
  cd "$root"
  say "building $preset in build/$preset ($(nproc) jobs)"
  local messages
  messages=$(cmake --preset "$preset" 2>&1) || { printf '%s\n' "$messages"; die "cmake --preset $preset failed"; }
  grep -E '^-- (LibTorch|Tightrope)' <<<"$messages" || true
  cmake --build --preset "$preset" ${1:+--target "$@"} -- --quiet
}
