"""What the two peers share: arguments, warm-up, timing, and the exact distribution of a policy on a small grid."""
import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "golden"))
from exact import children, reward, states  # noqa: E402  (the golden numbers' own hypergrid)

# On-policy, the sparse 20^4 stays in the corner next to s0 (log Z 5.8 of 8.64, mean length 9 of 40): a rate of short
# trajectories.  With R0 = 0.1 the same grid spreads out; both are measured, and a rate means little without its length.
SHAPES = {"grid8": (8, 2), "grid20": (20, 4), "grid20_sparse": (20, 4)}  # side, dimensions
REWARDS = {"grid8": (0.1, 0.5, 2.0), "grid20": (0.1, 0.5, 2.0), "grid20_sparse": (0.001, 0.5, 2.0)}


def arguments(tasks):
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", choices=tasks, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warmup", type=int, default=6144, help="trajectories trained before the clock starts")
    parser.add_argument("--seconds", type=float, default=10, help="least time of one repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="one JSON object is appended as a line")
    return parser.parse_args()


def exact_tv(policy, task):
    """Total variation between the policy's exact terminal distribution and R / Z.

    policy: state -> probabilities of (increment 0, ..., increment D-1, stop)
    """
    side, dims = SHAPES[task]
    grid = list(states(side, dims))
    total = sum(reward(s, side, *REWARDS[task]) for s in grid)
    mass, distance = {(0,) * dims: 1.0}, 0.0
    for state in grid:
        here = policy[state]
        for child in children(state, side):
            d = next(i for i in range(dims) if child[i] != state[i])
            mass[child] = mass.get(child, 0.0) + mass[state] * float(here[d])
        distance += abs(mass[state] * float(here[dims]) - reward(state, side, *REWARDS[task]) / total) / 2
    return distance


def measure(train, options):
    """train() -> (trajectories, transitions); the clock runs only after the warm-up.

    The rate per second of processor time is beside the rate per second: where they differ on one core, the machine
    was shared and the row should be measured again.
    """
    started = time.perf_counter()
    trajectories = 0
    while trajectories < options.warmup:
        trajectories += train()[0]
    warm_seconds = time.perf_counter() - started
    repeats = []
    for _ in range(options.repeats):
        begin, cpu, count, edges = time.perf_counter(), time.process_time(), 0, 0
        while time.perf_counter() - begin < options.seconds:
            more, transitions = train()
            count, edges = count + more, edges + transitions
        seconds = time.perf_counter() - begin
        repeats.append({"trajectories_per_second": count / seconds, "mean_length": edges / count, "seconds": seconds,
                        "trajectories_per_cpu_second": count / (time.process_time() - cpu)})
        trajectories += count
    middle = {key: statistics.median(r[key] for r in repeats)
              for key in ("trajectories_per_second", "trajectories_per_cpu_second", "mean_length")}
    return {**middle, "warmup": options.warmup,
            "warmup_seconds": warm_seconds, "trained": trajectories, "repeats": repeats}


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def report(peer, versions, options, result):
    row = {"peer": peer, "task": options.task, "batch": options.batch, "threads": options.threads,
           "cores": len(os.sched_getaffinity(0)), **result, "versions": versions, "processor": processor(),
           "load_1min": os.getloadavg()[0]}
    with options.out.open("a") as file:
        file.write(json.dumps(row) + "\n")
    tail = f", exact TV {row['tv']:.4f}" if "tv" in row else ""
    print(f"{peer} {options.task} batch {options.batch} cores {row['cores']}: "
          f"{row['trajectories_per_second']:.0f} trajectories/s ({row['trajectories_per_cpu_second']:.0f} per CPU s), "
          f"mean length {row['mean_length']:.2f}{tail}", flush=True)
