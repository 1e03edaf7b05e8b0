"""Writes a run folder as a text task leaves it: metrics.h5 and samples.jsonl, for the tests of the report.

  text_run.py FOLDER [--rows=N] [--seed=N] [--objective=NAME] [--pace=X]

A made-up policy learns to sort: sampled accuracy rises from 6 % along a logistic curve, twice as fast at pace 2.
"""
import argparse
import json
import pathlib

import h5py
import numpy as np

UPDATES, BATCH, SECONDS = 5, 64, 21.0  # of a row
UNSORTED = "sort 4 81 7 -> 4 7\t81 \u2014 sorted!\nsort 1 2 3 ->" + 30 * " 7"
DECK = """# the run
[run]
name = {name}                                 # default
seed = {seed}                                 # command line

# what is minimised
[objective]
kind = {objective}                            # inputs/sort3.ini:40
group = 8                                     # inputs/sort3.ini:33 (trajectories)
"""


def ability(updates, pace):
    return 0.06 + 0.88 / (1 + np.exp(-(updates * pace - 60) / 14))


def training(rows, random, pace):
    row = np.arange(1, rows + 1)
    step, noise = UPDATES * row, lambda size: 1 + size * random.standard_normal(rows)
    correct, beta = ability(step, pace), np.maximum(0.1 - 0.004 * row, 0.05)
    wrong = 1 - correct
    residuals = np.exp(-((np.arange(16) - 7.5) / (0.8 + 3 * wrong[:, None])) ** 2)
    bins = np.arange(8)
    seconds = SECONDS * row + random.uniform(0, 2, rows)
    columns = {
        "step": step, "seconds": seconds, "trajectories": BATCH * step, "loss": (1 + 20 * wrong) * noise(0.2),
        "log_z": -8 * wrong * noise(0.05), "log_reward": correct - 1, "grad_norm": 40 * noise(0.2),
        "length": 7 + 4 * wrong * noise(0.05), "staleness": 2.5 * noise(0.1), "reuse": 0.8 * noise(0.1),
        "replay_records": np.minimum(64 * row, 900), "replay_fill": np.minimum(64 * row, 900) / 16000,
        "searcher_rate": 9 * noise(0.05), "trainer_rate": BATCH * UPDATES / SECONDS * noise(0.05),
        "searcher_idle": 0.02 * np.abs(noise(0.5)), "trainer_idle": 0.11 * np.abs(noise(0.5)),
        "inserted": 180 * row, "refused": 9 * row, "skipped": 0 * row, "version": step,
        "seconds_sample": 20.1 * noise(0.02), "seconds_refresh": 0.4 * noise(0.1), "seconds_drain": 0.01 * noise(0.1),
        "seconds_draw": 0.02 * noise(0.1), "seconds_score": 6.1 * noise(0.05), "seconds_backward": 11.4 * noise(0.05),
        "seconds_optimise": 1.2 * noise(0.05), "seconds_publish": 0.3 * noise(0.05),
        "log_ratio": 6 * correct * noise(0.08), "spread": (0.5 + 4 * wrong) * noise(0.1),
        "unique": 0.5 + 0.4 * wrong, "truncated": 0.2 * wrong, "temperature": beta,
        "searcher_transitions": 81 * noise(0.05), "trainer_transitions": 122 * noise(0.05),
        "sampled_log_reward": 0.9 * (correct - 1) * noise(0.05), "sampled_length": 7 + 4.5 * wrong * noise(0.05),
        "sampled_truncated": 0.2 * wrong * noise(0.2), "sampled_entropy": 0.05 + 0.6 * wrong * noise(0.05),
        "sampled_correct": np.clip(correct * noise(0.05), 0, 1), "sampled_missing_eos": 0.2 * wrong * noise(0.2),
        "correct": correct, "missing_eos": 0.2 * wrong}
    vectors = {"residual_histogram": np.round(BATCH * UPDATES * residuals / residuals.sum(axis=1, keepdims=True)),
               "staleness_histogram": np.round(200 * np.exp(-(bins - 2.0) ** 2)) * np.ones((rows, 1)),
               "reuse_histogram": np.round(200 * np.exp(-0.9 * bins)) * np.ones((rows, 1))}
    return {**columns, **vectors}


def evaluation(rows, random, pace):
    step = np.arange(0, UPDATES * rows + 1, 20)
    sampled = np.clip(ability(step, pace) + 0.012 * random.standard_normal(len(step)), 0, 1)
    greedy = np.clip(1.15 * ability(step, pace) + 0.1 * (1 - ability(step, pace)), 0, 1)
    return {"step": step, "trajectories": BATCH * step, "seconds": SECONDS * step / UPDATES + 3.0,
            "sampled_accuracy": sampled, "sampled_accuracy_error": np.sqrt(sampled * (1 - sampled) / 500),
            "greedy_accuracy": greedy, "greedy_accuracy_error": np.sqrt(greedy * (1 - greedy) / 256),
            "mean_length": 7 + 4 * (1 - sampled), "truncated": 0.2 * (1 - sampled)}


def sample_lines(steps, pace):
    for step in steps:
        for kind, text, right in (("newest", "sort 73 32 60 -> 32 60 73\n", ability(step, pace) > 0.5),
                                  ("highest", "sort 18 73 98 -> 18 73 98\n", True),
                                  ("lowest", UNSORTED, False)):
            yield json.dumps({"step": int(step), "kind": kind, "query": 17, "id": int(step) * 8 + len(kind),
                              "version": max(int(step) - 3, 0), "length": len(text) // 3, "truncated": not right,
                              "log_pf": -0.4 - 3.0 * (not right), "log_ref": -7.25,
                              "log_reward": 0.0 if right else -1.0,
                              "reward": {"correct": float(right), "missing_eos": float(not right)}, "text": text})


def write(folder, rows=24, seed=1, objective="vargrad", pace=1.0):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    evaluated = evaluation(rows, random, pace)
    with h5py.File(folder / "metrics.h5", "w") as file:
        file.attrs.update({"format": "tightrope-metrics", "format_version": 1, "task": "text", "build": "text_run.py",
                           "libraries": "", "mpi_settings": "", "ranks": 2, "trainers": 1, "searchers": 1,
                           "started": "2026-01-01T00:00:00Z", "restarts": "",
                           "deck": DECK.format(name=folder.name, seed=seed, objective=objective)})
        for group, columns in (("training", training(rows, random, pace)), ("evaluation", evaluated), ("exact", {})):
            file.create_group(group)
            for name, values in columns.items():
                file[group].create_dataset(name, data=np.asarray(values, "f8"),
                                           maxshape=(None, *np.shape(values)[1:]), chunks=True)
    (folder / "samples.jsonl").write_text("".join(line + "\n" for line in sample_lines(evaluated["step"], pace)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--objective", default="vargrad")
    parser.add_argument("--pace", type=float, default=1.0)
    write(**vars(parser.parse_args()))
