#!/usr/bin/python3
"""Checkpoints against the machine, in one run: writing against dd with fsync, restarting against cat of the file (from
the disk, as after a job's start, and from memory), and how long training stands still against memcpy.

  bench/checkpoint.py [FOLDER] [--mib 512] [--records 1000000] [--repeats 5]

FOLDER (default: here) is where the files go, 2 GiB in all.  Medians; the two sides of a ratio take turns.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import h5py

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / "build" / "release" / "bin"
WIDTH = 2000  # of the perceptron whose training is held up: 4 M parameters
MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
       "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_mpi_yield_when_idle": "1"}


def mpirun(np, *words):
    done = subprocess.run(["mpirun", "-n", str(np), *map(str, words)], check=True, env={**os.environ, **MPI},
                          capture_output=True, text=True)
    return done.stdout.split()


def seconds_of(*command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def noise(mib):
    """A file in memory that dd copies: nothing between here and the disk may compress it."""
    path = Path(tempfile.mkstemp(dir="/dev/shm", prefix="tightrope-bench-")[1])
    with open(path, "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    return path


def write(folder, mib, repeats):
    """Seconds of dd, then on 1 and on 2 ranks of write_checkpoint (file, reading back, fsync, rename) and of memcpy.
    All write a new file: one over an old one of its own would be given the pages that it has just freed."""
    source, rows = noise(mib), []
    try:
        for turn in range(repeats):  # who goes first changes: the disk may be slower after a long write
            row = {}
            for np in ((0, 1, 2), (1, 2, 0), (2, 0, 1))[turn % 3]:
                for old in folder.iterdir():
                    old.unlink()
                os.sync()
                if np == 0:
                    row[0] = [seconds_of("dd", f"if={source}", f"of={folder}/dd", "bs=8M", "conv=fsync")]
                else:
                    row[np] = list(map(float, mpirun(np, BIN / "bench_checkpoint", "write", folder, mib)))
            rows.append(row[0] + row[1] + row[2])
    finally:
        source.unlink()
    return [statistics.median(column) for column in zip(*rows)]


def forget(path):
    """Takes a file out of the kernel's memory; what a disk's own host keeps of it is out of reach."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def restart(path, records, repeats, np, prepare):
    """Seconds of cat and of a restart, `prepare` before each."""
    rows = []
    for _ in range(repeats):
        prepare(path)
        cat = seconds_of("cat", path)
        prepare(path)
        rows.append((cat, float(mpirun(np, BIN / "bench_checkpoint", "restart", path, records)[0])))
    return [statistics.median(column) for column in zip(*rows)]


def stall(folder):
    """Seconds that training stands still per checkpoint, and the bytes of weights and moments; None where the run does
    not say."""
    mpirun(1, BIN / "tightrope", ROOT / "inputs/smoke/hypergrid.ini", f"--run.folder={folder}", "--run.name=stall",
           f"--policy.width={WIDTH}", "--trainer.steps=60", "--run.interval=10", "--checkpoint.every=10",
           "--evaluation.every=0", "--replay.capacity=1000")
    with h5py.File(folder / "stall/metrics.h5") as file:
        if "seconds_checkpoint" not in file["training"]:
            return None
        seconds = statistics.median(file["training/seconds_checkpoint"][1:])  # the first one takes its memory
    with h5py.File(folder / "stall/checkpoint-60.h5") as file:
        return seconds, sum(data.nbytes for data in file["parameters/policy"].values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path())
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix="bench-checkpoint-")).resolve()
    try:
        print("| what | ours | the machine | ratio |\n|---|---|---|---|")
        dd, one, copied, two, _ = write(folder, options.mib, options.repeats)
        for np, written in ((1, one), (2, two)):
            rate = [options.mib / seconds for seconds in (written, dd)]
            print(f"| {options.mib} MiB, {np} trainers: MiB/s to the disk, read back | {rate[0]:.0f} | "
                  f"dd {rate[1]:.0f} | {rate[0] / rate[1]:.2f} |", flush=True)
        found = stall(folder)
        if found:
            memcpy = copied * found[1] / (options.mib << 20)
            print(f"| training stands still, {found[1] >> 20} MiB: ms | {1e3 * found[0]:.1f} | "
                  f"memcpy {1e3 * memcpy:.1f} | {found[0] / memcpy:.2f} |", flush=True)
        mpirun(4, BIN / "bench_checkpoint", "records", folder, options.records)
        path = folder / "checkpoint-0.h5"
        for where, prepare in (("the disk", forget), ("memory", lambda path: seconds_of("cat", path))):
            cat, mine = restart(path, options.records, options.repeats, 4, prepare)
            what = f"restart, {options.records} records on 4 ranks, {path.stat().st_size >> 20} MiB, file in {where}: s"
            print(f"| {what} | {mine:.3f} | cat {cat:.3f} | {mine / cat:.2f} |", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
