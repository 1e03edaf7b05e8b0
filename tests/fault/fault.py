#!/usr/bin/python3
"""Kills runs at moments of chance and restarts them: fault.py SEED COUNT

Asynchronous hypergrid runs with many checkpoints.  Each time the whole job or one rank gets SIGKILL, by chance after a
while or as soon as a checkpoint is being written; every restart is `auto`, on ranks and roles of chance.  Each restart
must succeed, from the newest checkpoint that was complete or from a newer one, and no record may be bad: checksums,
owners, ids, lengths (stores.py).  Environment: as tests/program/harness.py.
"""
import collections
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
from harness import Job, smoke  # noqa: E402
from stores import Checkpoint  # noqa: E402

PATIENCE = 120  # seconds, for what takes one
SHAPES = [(1, 1), (2, 1), (2, 2), (3, 1), (4, 2)]  # ranks, trainers
KILLS_PER_RUN = 10


class Fault:
    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tightrope-fault-"))
        self.counts = collections.Counter()

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_for(self, condition, job, what):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if condition():
                return
            if job.process.poll() is not None:
                raise AssertionError(f"ended before {what}: {job.wait(1)}")
            time.sleep(0.0005)
        raise AssertionError(f"{what}: not within {PATIENCE} s")

    def newest(self, run):
        try:
            return int(re.fullmatch(r"checkpoint-(\d+)\.h5\n", (run / "LATEST").read_text())[1])
        except FileNotFoundError:
            return -1

    def once(self, name):
        """One start and one kill.  Says what it did."""
        np, trainers = self.chance.choice(SHAPES)
        run = self.folder / "runs" / name
        before = self.newest(run)
        job = Job([smoke("hypergrid"), f"--run.name={name}", "--run.restart=auto", "--trainer.steps=1e9",
                   "--evaluation.every=0", "--checkpoint.every=5", "--checkpoint.keep=2", "--replay.bytes=300KiB",
                   f"--world.trainers={trainers}"], np, self.folder)
        try:
            return self.kill(job, run, before, f"{np} ranks, {trainers} trainers, from step {before}")
        finally:
            job.close()

    def kill(self, job, run, before, what):
        self.wait_for(lambda: self.newest(run) > before, job, "a checkpoint")
        inside = self.chance.random() < 0.5
        if inside:
            self.wait_for(lambda: any(run.glob("checkpoint-*.h5.tmp")), job, "a checkpoint is being written")
            time.sleep(self.chance.choice((0, 0, 0.001, 0.003)))
        else:
            time.sleep(self.chance.uniform(0, 0.5))
        ranks = job.ranks()
        victims = list(ranks.values()) if self.chance.random() < 0.5 else [self.chance.choice(sorted(ranks.values()))]
        newest = self.newest(run)
        for victim in victims:
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the launcher was faster
        result = job.wait(PATIENCE)
        said = re.search(r"restarted at step (\d+)", result.out)
        if before >= 0 and (not said or int(said[1]) < before):
            raise AssertionError(f"not restarted from {before} or later: {result}")
        left_draft = any(run.glob("checkpoint-*.h5.tmp"))
        self.counts["killed inside a checkpoint"] += left_draft
        self.counts["of one rank" if len(victims) < len(ranks) else "of all ranks"] += 1
        self.check(run, newest)
        return f"{what}: killed {len(victims)} of {len(ranks)} at step {newest}" + (", inside" if left_draft else "")

    def check(self, run, newest):
        if self.newest(run) < newest:
            raise AssertionError(f"LATEST went back from {newest} to {self.newest(run)}")
        for path in run.glob("checkpoint-*.h5"):
            problems = Checkpoint(path).problems(queries=1)
            if problems:
                raise AssertionError(f"{path}: {problems[:5]}")
            self.counts["checkpoints read"] += 1


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    fault = Fault(seed)
    try:
        for turn in range(count):
            print(f"{turn + 1}/{count} {fault.once(f'run{turn // KILLS_PER_RUN}')}", flush=True)
    finally:
        fault.close()
    print(f"seed {seed}: {count} kills, all restarted; " +
          ", ".join(f"{number} {what}" for what, number in sorted(fault.counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
