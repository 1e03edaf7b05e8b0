#!/usr/bin/python3
"""Runs inputs/sort3_smollm2.ini in variants and seeds, one after another; docs/results/ is made from what it leaves.

  bench/sort3.py OUT [--variants tba,rloo] [--seeds 1-5] [--seconds 450] [--slow 1] [-- --section.key=value ...]

OUT/<variant>[-slow4]-<seed>/ is the run's folder; a run that is there is kept.  --slow N: the searcher gets every Nth
part of the time (SIGSTOP and SIGCONT from outside), as if sampling were N times as expensive.
"""
import argparse
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
VARIANTS = {
    "tba": [],
    "tba-m50": ["--replay.recent_fraction=0.5", "--replay.samples_per_insert=2"],
    "tba-m25": ["--replay.recent_fraction=0.25", "--replay.samples_per_insert=4"],
    "tba-beta05": ["--objective.temperature=0.05"],
    "tba-beta20": ["--objective.temperature=0.2"],
    "tba-all": ["--searcher.samples_per_query=8", "--searcher.batch=64"],  # K = S: nothing is left out
    "lockstep": ["--run.mode=lockstep", "--trainer.updates_per_phase=1", "--searcher.batches_per_phase=2"],
    "rloo": ["--objective.kind=rloo"],  # over the same batches
    "rloo-all": ["--objective.kind=rloo", "--searcher.samples_per_query=8", "--searcher.batch=64"],
}
SLICE = 0.2  # seconds that a slowed searcher runs at a time


def searcher(launcher):
    """Process id of rank 1 of a launcher, or None."""
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == launcher \
                    and b"OMPI_COMM_WORLD_RANK=1\0" in (entry / "environ").read_bytes():
                return int(entry.name)
        except OSError:
            continue
    return None


def hold_back(process, slow):
    while process.poll() is None:
        rank = searcher(process.pid)
        try:
            if rank:
                os.kill(rank, signal.SIGSTOP)
                time.sleep(SLICE * (slow - 1))
                os.kill(rank, signal.SIGCONT)
        except ProcessLookupError:
            pass
        time.sleep(SLICE)


def run(name, words, options):
    folder = pathlib.Path(options.out) / name
    if (folder / "LATEST").exists():
        print(f"{name}: kept", flush=True)
        return
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                   "OMPI_MCA_mpi_yield_when_idle": "1"}
    command = ["mpirun", "-n", "2", "--bind-to", "none", "build/release/bin/tightrope", "inputs/sort3_smollm2.ini",
               f"--run.folder={options.out}", f"--run.name={name}", "--run.progress=always",
               "--model.export=no", *words, *options.words]
    started = time.monotonic()
    with open(pathlib.Path(options.out) / f"{name}.log", "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        if options.slow > 1:
            threading.Thread(target=hold_back, args=(process, options.slow), daemon=True).start()
        try:
            code = process.wait(options.seconds)
        except subprocess.TimeoutExpired:
            (folder / "STOP").touch()
            code = process.wait()
    for checkpoint in folder.glob("checkpoint-*.h5"):  # 1.6 GB each
        checkpoint.unlink()
    print(f"{name}: exit code {code}, {time.monotonic() - started:.0f} s", flush=True)


def main():
    words = sys.argv[1:]
    extra = words[words.index("--") + 1:] if "--" in words else []
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--variants", default="tba,rloo")
    parser.add_argument("--seeds", default="1-5")
    parser.add_argument("--seconds", type=int, default=450)
    parser.add_argument("--slow", type=int, default=1)
    options = parser.parse_args(words[:words.index("--")] if "--" in words else words)
    options.words, options.out = extra, str(pathlib.Path(options.out).resolve())
    pathlib.Path(options.out).mkdir(parents=True, exist_ok=True)
    first, last = (options.seeds.split("-") * 2)[:2]
    for seed in range(int(first), int(last) + 1):
        for variant in options.variants.split(","):
            slow = f"-slow{options.slow}" if options.slow > 1 else ""
            run(f"{variant}{slow}-{seed}", [*VARIANTS[variant], f"--run.seed={seed}"], options)


if __name__ == "__main__":
    main()
