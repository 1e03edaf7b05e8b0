#!/usr/bin/python3
"""How a run spends its time, computed instead of run: searchers, lanes, stores, limiter, weight board, trainers.

  bench/simulate.py reproduce RUN ...    the service times in each run's metrics.h5, row by row, and what they come to
                                         beside what was measured
  bench/simulate.py costs                bytes, flops and seconds of one update of docs/scaling.md's cluster
  bench/simulate.py scale [--models 1B,7B,70B] [--gpus 8,64,512,4096] [...]   runs on it, by formula and simulated
"""
import argparse
import configparser
import dataclasses
import os
import pathlib
import sys

import cost_model
from event_model import Job, Simulation, Times

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def in_bytes(text):
    unit = next((unit for unit in ("KiB", "MiB", "GiB", "TiB", "B") if text.endswith(unit)), "")
    return int(float(text.removesuffix(unit)) * UNITS.get(unit, 1))


class Run:
    """A run's deck and the columns of its metrics.h5, per row."""

    def __init__(self, path):
        import h5py  # everything else here runs without it
        os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
        path = pathlib.Path(path)
        self.name = path.parent.name if path.name == "metrics.h5" else path.name
        with h5py.File(path / "metrics.h5" if path.is_dir() else path, "r") as file:
            deck = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",))
            deck.read_string(file.attrs["deck"])
            self.columns = {name: column[:] for name, column in file["training"].items() if column.ndim == 1}
            self.trainers, self.searchers = int(file.attrs["trainers"]), int(file.attrs["searchers"])
            both = int(file.attrs["ranks"]) < self.trainers + self.searchers
        self.deck = {f"{section}.{key}": value for section in deck.sections() for key, value in deck[section].items()}
        self.rows = min(len(column) for column in self.columns.values())
        if both or self.deck["run.mode"] != "async" or self.deck["replay.lane"] != "bounded":
            sys.exit(f"{path}: not a run that can be simulated (it needs ranks of one role each, run.mode = async and "
                     "replay.lane = bounded) choose another")
        if self.rows < 4:
            sys.exit(f"{path}: {self.rows} rows (it takes 4) lower run.interval")

    def total(self, name, rows):
        """Of a column that counts per row, or, for shares and rates, of row seconds times it."""
        values = self.columns[name]
        return float(sum(values[row] * (1 if name.startswith("seconds_") else self.seconds(row)) for row in rows))

    def seconds(self, row):
        return self.columns["seconds"][row] - self.columns["seconds"][row - 1]

    def updates(self, rows):
        return int(sum(self.columns["step"][row] - self.columns["step"][row - 1] for row in rows))

    def job(self):
        d, text = self.deck, self.deck["task.kind"] == "text"
        length = float(self.columns["length"].mean())
        reference = 4 * length if d["objective.kind"] in ("db", "subtb") else 8
        payload = 64 + reference + 4 * (2 if text else 1) + length * (2 if text else 1)  # src/core/batch_pack.cpp
        stored = (payload + 32 + 31) // 32 * 32
        last = self.rows - 1
        capacity = self.columns["replay_records"][last] / self.columns["replay_fill"][last] / self.trainers
        queries = {"text": int(d["data.questions"]) - int(d["data.heldout_questions"]),
                   "tokens": int(d["tokens.prompts"])}
        return Job(
            trainers=self.trainers, searchers=self.searchers, updates=int(self.columns["step"][last]),
            batch=int(d["trainer.batch"]), group=int(d["objective.group"]),
            publish_every=int(d["trainer.publish_every"]), searcher_batch=int(d["searcher.batch"]),
            samples_per_query=int(d["searcher.samples_per_query"]),
            keep_per_query=int(d.get("searcher.keep_per_query", 0)), queries=queries.get(d["task.kind"], 1),
            lane_records=int(max(in_bytes(d["replay.lane_bytes"]), 4 * stored) // stored),
            store_records=round(capacity), capacity_per_query=int(d["replay.capacity_per_query"]),
            recent_fraction=float(d["replay.recent_fraction"]), recent_window=int(d["replay.recent_window"]),
            minimum=int(d["replay.minimum"]), samples_per_insert=float(d["replay.samples_per_insert"]),
            maximum_staleness=int(d["replay.maximum_staleness"]))

    def times(self):
        """Row by row: (update from which they hold, times)."""
        whole = self.times_of(range(1, self.rows), None)
        starts = [0, *map(int, self.columns["step"])]
        return [(starts[row], self.times_of([row], whole)) for row in range(1, self.rows)]

    def times_of(self, rows, otherwise):
        """What a rank was busy with beside the named parts goes to the larger step.  otherwise: where nothing came."""
        updates, wall = self.updates(rows), sum(self.seconds(row) for row in rows)
        batches = self.total("searcher_rate", rows) / int(self.deck["searcher.batch"])
        total = self.columns["inserted"] + self.columns["refused"]
        arrived = sum(total[row] - total[row - 1] for row in rows)
        if not (batches and arrived and updates):
            return otherwise
        parts = {name: self.total(f"seconds_{name}", rows) for name in ("refresh", "drain", "publish")}
        sampling = (wall - self.total("searcher_idle", rows)) * self.searchers
        training = (wall - self.total("trainer_idle", rows)) * self.trainers
        return Times(sample=(sampling - parts["refresh"]) / batches, fetch=parts["refresh"] / batches,
                     drain=parts["drain"] / arrived,
                     update=(training - parts["drain"] - parts["publish"]) / updates / self.trainers,
                     publish=parts["publish"] * int(self.deck["trainer.publish_every"]) / updates)

    def measured(self, rows):
        wall, updates = sum(self.seconds(row) for row in rows), self.updates(rows)
        return {"updates/s": updates / wall, "searcher idle": self.total("searcher_idle", rows) / wall,
                "trainer idle": self.total("trainer_idle", rows) / wall,
                "staleness": sum(self.columns["staleness"][row] * self.updates([row]) for row in rows) / updates}


def simulated(job, times):
    """A fetch's time is known per batch; how many batches fetch, the simulation itself says."""
    once = Simulation(job, times).run()
    more = once.batches / max(once.fetches, 1)
    return Simulation(job, [(step, dataclasses.replace(t, fetch=t.fetch * more)) for step, t in times]).run()


def reproduce(options):
    rows = [["run", "trainers + searchers", "what", "measured", "model", "difference"]]
    for path in options.run:
        run, job = Run(path), Run(path).job()
        first = int(run.columns["step"][0])  # what the first row holds is the start
        model = simulated(job, run.times()).between(first, job.updates)
        for what, value in run.measured(range(1, run.rows)).items():
            difference = f"{100 * (model[what] - value):+.1f} points" if what.endswith("idle") else \
                f"{100 * (model[what] / value - 1):+.1f} %"
            rows.append([run.name, f"{run.trainers} + {run.searchers}", what, f"{value:.3g}", f"{model[what]:.3g}",
                         difference])
    table(*rows)


def table(*rows):
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|---" * len(row) + "|")


def costs(_):
    machine, work, models = cost_model.MACHINE, cost_model.Work(), cost_model.MODELS
    rows = [["of one update", *models]]
    for what, value in cost_model.COSTS:
        rows.append([what, *(f"{value(model, machine, work):.3g}" for model in models.values())])
    table(*rows)


def scale(options):
    work = dataclasses.replace(cost_model.Work(), staleness=options.staleness, batch=options.batch)
    names = ["model", "GPUs", "trainers", "searchers", "at once", "updates/s", "simulated", "trainers idle",
             "searchers idle", "staleness", "board", "limit"]
    table(names)
    for name in options.models.split(","):
        for gpus in map(int, options.gpus.split(",")):
            plan = cost_model.plan(cost_model.MODELS[name], cost_model.MACHINE, work, gpus, options.sources,
                                   options.sharing)
            if plan is None:
                print(f"| {name} | {gpus} | too few |" + " |" * 9)
                continue
            # Trainers are alike and in step: one of them, as fast as all, stands for them.
            job = Job(searchers=plan.searchers, updates=2 * options.updates, batch=work.batch, group=work.group,
                      searcher_batch=plan.at_once, queries=work.batch, samples_per_insert=1, recent_window=10**6,
                      lane_records=2 * work.batch // plan.searchers + plan.at_once, store_records=2 * work.batch)
            times = Times(sample=plan.sample, fetch=plan.fetch, update=plan.update, publish=plan.publish, nap=1e-3)
            simulation = Simulation(job, times, pulls=plan.pulls, staggered=True).run()
            found = simulation.between(options.updates, job.updates)
            board = simulation.board.busy / simulation.clock.now / plan.pulls
            print(f"| {name} | {gpus} | {plan.trainers} | {plan.searchers} | {plan.at_once} | {plan.rate:.3g} | "
                  f"{found['updates/s']:.3g} | {found['trainer idle']:.2f} | {found['searcher idle']:.2f} | "
                  f"{found['staleness']:.1f} | {board:.2f} | {plan.limit} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("reproduce")
    command.add_argument("run", nargs="+", help="a run's folder, or its metrics.h5")
    commands.add_parser("costs")
    command = commands.add_parser("scale")
    command.add_argument("--models", default="1B,7B,70B")
    command.add_argument("--gpus", default="8,64,512,4096")
    command.add_argument("--batch", type=int, default=4096, help="completions per update")
    command.add_argument("--staleness", type=float, default=8, help="updates that a completion may be old, on average")
    command.add_argument("--sources", type=int, default=1, help="network ports that serve weights; today 1")
    command.add_argument("--sharing", type=int, default=1, help="searchers that one pull serves; today 1")
    command.add_argument("--updates", type=int, default=40, help="simulated, after as many that are not counted")
    options = parser.parse_args()
    {"reproduce": reproduce, "costs": costs, "scale": scale}[options.command](options)


if __name__ == "__main__":
    main()
