#!/usr/bin/python3
"""A table of what bench/sort3.py left: bench/sort3_table.py OUT [--updates 60].

Per variant, over its seeds: median (worst to best) of the held-out accuracy of sampled answers, at the last evaluation
that was complete by so many updates, and of sampled and greedy answers at the end of the run.
"""
import argparse
import pathlib
import re
import statistics

import h5py


def runs(folder):
    """{variant: [metrics.h5 of each seed]}; a run's folder is <variant>-<seed>."""
    found = {}
    for path in sorted(folder.glob("*-*/metrics.h5")):
        variant, seed = re.fullmatch(r"(.+)-(\d+)", path.parent.name).groups()
        found.setdefault(variant, []).append((int(seed), path))
    return {variant: [path for _, path in sorted(paths)] for variant, paths in found.items()}


def figures(path, updates):
    with h5py.File(path, "r") as file:
        evaluation, training = file["evaluation"], file["training"]
        step, sampled = evaluation["step"][:], evaluation["sampled_accuracy"][:]
        early = [value for at, value in zip(step, sampled) if at <= updates]
        return {"early": early[-1] if early else float("nan"), "end": sampled[-1],
                "greedy": evaluation["greedy_accuracy"][-1], "updates": training["step"][-1],
                "staleness": training["staleness"][-1], "seconds": training["seconds"][-1]}


def spread(values):
    return f"{100 * statistics.median(values):.0f} ({100 * min(values):.0f} to {100 * max(values):.0f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--updates", type=int, default=60)
    options = parser.parse_args()
    print(f"| variant | seeds | sampled by update {options.updates}, % | sampled at the end, % | greedy at the end, % "
          "| updates | seconds | staleness |\n|---|---|---|---|---|---|---|---|")
    for variant, paths in runs(options.folder).items():
        rows = [figures(path, options.updates) for path in paths]
        column = {name: [row[name] for row in rows] for name in rows[0]}
        median = {name: statistics.median(values) for name, values in column.items()}
        print(f"| {variant} | {len(rows)} | {spread(column['early'])} | {spread(column['end'])} "
              f"| {spread(column['greedy'])} | {median['updates']:.0f} | {median['seconds']:.0f} "
              f"| {median['staleness']:.1f} |")


if __name__ == "__main__":
    main()
