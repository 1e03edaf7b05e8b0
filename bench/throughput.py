#!/usr/bin/python3
"""Trajectories per second of the whole program, split by part, beside the peers and the matrix products alone.

  bench/throughput.py [--peers OUTDIR/peers.json] [--updates-scale 1.0]

Each row is one run of build/release/bin/tightrope: on one core (-n 1, both roles, on-policy), or on two (-n 2, one
trainer and one searcher, asynchronous).  TB, MLP 2x256, Adam, uniform P_B, timed after a warm-up by the rows of
metrics.h5: the median over the last two thirds of the run.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import h5py

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / "build" / "release" / "bin"
GRID20 = ["--hypergrid.dimensions=4", "--hypergrid.side=20", "--evaluation.enumerate_up_to=0"]
BITS = ["--task.kind=bits", "--bits.sharpness=3", "--policy.log_z_start=60"]
ROWS = [  # task, batch, cores, updates, arguments
    ("grid8", 16, 1, 12000, []), ("grid8", 128, 1, 4500, []),
    ("grid20", 16, 1, 2400, GRID20), ("grid20", 128, 1, 450, GRID20),
    ("grid8", 128, 2, 4500, []), ("grid20", 128, 2, 600, GRID20),
    ("bits", 16, 1, 1800, BITS),
]
OUTPUTS = {"grid8": 3, "grid20": 5, "bits": 256}
PARTS = ["refresh", "sample", "drain", "draw", "score", "backward", "optimise", "publish"]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def run(task, batch, cores, updates, arguments, folder):
    deck = Path(folder) / "bench.ini"
    deck.write_text("[world]\nthreads = 1\n")
    replay = ["--replay.recent_window=0"] if cores == 1 else ["--replay.samples_per_insert=1"]
    command = ["taskset", "-c", f"0-{cores - 1}", "mpirun", "--bind-to", "none", "-n", str(cores),
               str(BIN / "tightrope"), str(deck), f"--trainer.batch={batch}", f"--searcher.batch={batch}",
               f"--trainer.steps={updates}", f"--run.interval={updates // 15}", f"--run.folder={folder}",
               *replay, *arguments]
    subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL)
    with h5py.File(Path(folder) / "bench" / "metrics.h5") as file:
        rows = file["training"]
        last = slice(len(rows["step"]) // 3, None)
        row = {key: float(statistics.median(rows[key][last])) for key in ("trainer_rate", "length", "staleness")}
        row["microseconds"] = {part: 1e6 * float(statistics.median(rows[f"seconds_{part}"][last])) / (updates // 15)
                               for part in PARTS}
    return {"task": task, "batch": batch, "cores": cores, **row}


def gemm_limit(row, gigaflops):
    """Trajectories/s if every live transition cost its matrix products alone: sampled once, scored, differentiated."""
    products = 256 * 256 + 256 * OUTPUTS[row["task"]]
    return gigaflops * 1e9 * row["cores"] / (row["length"] * 2 * products * 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--updates-scale", type=float, default=1.0)
    options = parser.parse_args()
    peers = json.loads(options.peers.read_text()) if options.peers else []
    peers = peers if isinstance(peers, list) else peers["rows"]
    gigaflops = float(subprocess.run(["taskset", "-c", "0", str(BIN / "bench_gemm")], check=True, env=environment(),
                                     capture_output=True, text=True).stdout)
    print(f"matrix products, 1024 x 256 x 256, one thread: {gigaflops:.0f} GF/s\n")
    print("| task | batch | cores | trajectories/s | length | fastest peer | ratio | of the GEMM limit |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for task, batch, cores, updates, arguments in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            row = run(task, batch, cores, int(updates * options.updates_scale), arguments, folder)
        rows.append(row)
        same = [p for p in peers if (p["task"], p["batch"], p["cores"]) == (task, batch, cores)]
        best = max(same, key=lambda p: p["trajectories_per_second"], default=None)
        rate = best["trajectories_per_second"] if best else 0
        name = f"{best['peer']} {rate:.0f} (length {best['mean_length']:.1f})" if best else ""
        ratio = f"{row['trainer_rate'] / rate:.1f}" if best else ""
        print(f"| {task} | {batch} | {cores} | {row['trainer_rate']:.0f} | {row['length']:.1f} | {name} | {ratio} | "
              f"{row['trainer_rate'] / gemm_limit(row, gigaflops):.2f} |", flush=True)
    print("\nMicroseconds per update:\n\n| task | batch | cores | " + " | ".join(PARTS) + " |")
    print("|---" * (3 + len(PARTS)) + "|")
    for row in rows:
        print(f"| {row['task']} | {row['batch']} | {row['cores']} | " +
              " | ".join(f"{row['microseconds'][part]:.0f}" for part in PARTS) + " |")


if __name__ == "__main__":
    main()
