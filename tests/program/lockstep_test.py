"""Lockstep: the same ranks, seed and threads give the same bytes, also across a restart at any update."""
import os
import shutil
import signal
import unittest

import numpy

from harness import ProgramTest, columns, content, smoke

BITWISE = ("loss", "log_z", "grad_norm", "staleness", "reuse", "replay_records", "inserted", "version")


class Lockstep(ProgramTest):
    def run_deck(self, name, np, *words):
        self.succeed(smoke("lockstep"), f"--run.name={name}", "--checkpoint.keep=9", *words, np=np, seconds=240)
        return self.folder / "runs" / name

    def assert_same_run(self, a, b, step=200):
        first, second = (content(run / f"checkpoint-{step}.h5") for run in (a, b))
        self.assertEqual(sorted(first), sorted(second))
        for needed in ("parameters/policy/weights", "parameters/policy/adam_first", "parameters/policy/adam_second",
                       "store/records", "index/uses", "index/counters", "searchers/cursors"):
            self.assertIn(needed, first)
        different = [name for name in first if first[name] != second[name]]
        self.assertEqual(different, [])

    def assert_same_metrics(self, a, b):
        for group, names in (("training", BITWISE), ("evaluation", ("step", "tv", "distribution"))):
            for name, x, y in zip(names, columns(a / "metrics.h5", group, *names),
                                  columns(b / "metrics.h5", group, *names)):
                numpy.testing.assert_array_equal(x, y, err_msg=name)

    def check(self, np, *words):
        """Twice from the start; then from the checkpoint at 100, named and found."""
        whole = self.run_deck("whole", np, *words)
        again = self.run_deck("again", np, *words)
        self.assert_same_run(whole, again)
        self.assert_same_metrics(whole, again)
        named = self.run_deck("named", np, *words, f"--run.restart={whole}/checkpoint-100.h5")
        self.assert_same_run(whole, named)
        (again / "checkpoint-200.h5").unlink()  # as if it had been killed before it wrote this
        shutil.copy(again / "metrics.h5", self.folder)
        found = self.run_deck("again", np, *words, "--run.restart=auto")
        self.assert_same_run(whole, found)
        self.assert_same_metrics(whole, found)

    def check_ended(self, np, *words):
        """Stopped or killed on the way, at a moment of chance; 60 updates after it the runs are compared."""
        words = (*words, "--checkpoint.every=70")
        for sent in (signal.SIGUSR1, signal.SIGKILL):
            name = f"{sent.name}{np}"
            job = self.start(smoke("lockstep"), f"--run.name={name}", "--checkpoint.keep=9", *words,
                             "--trainer.steps=1e9", np=np)
            part = self.folder / "runs" / name
            self.wait_for(lambda part=part: (part / "LATEST").exists(), 60, "a checkpoint")
            os.kill(job.ranks()[np - 1], sent)  # one is enough
            result = job.wait(60)
            if sent == signal.SIGUSR1:
                self.assertEqual(result.code, 75, result)
            else:
                self.assertNotIn(result.code, (0, 75), result)
            end = int((part / "LATEST").read_text().strip()[len("checkpoint-"):-len(".h5")]) + 60
            self.run_deck(name, np, *words, f"--trainer.steps={end}", "--run.restart=auto")
            whole = self.run_deck(f"whole-{name}", np, *words, f"--trainer.steps={end}")
            self.assert_same_run(whole, part, end)
            self.assert_same_metrics(whole, part)

    def test_ended_on_the_way(self):
        for np, words in ((1, ()), (2, ()), (4, ("--world.trainers=2", "--run.interval=30"))):
            with self.subTest(np=np):
                self.check_ended(np, *words)

    def test_one_rank(self):
        self.check(1)

    def test_two_ranks(self):
        self.check(2)

    def test_four_ranks(self):
        self.check(4)

    def test_two_trainers_two_searchers(self):
        self.check(4, "--world.trainers=2")

    def test_two_threads(self):
        words = ("--world.threads=2", "--trainer.batch=64", "--trainer.steps=60")
        for np in (1, 2):
            with self.subTest(ranks=np):
                a = self.run_deck(f"a{np}", np, *words)
                b = self.run_deck(f"b{np}", np, *words)
                self.assert_same_run(a, b, 60)
                self.assert_same_metrics(a, b)

    def test_restart_within_a_phase(self):
        # A full store, two batches per phase, and checkpoints after the second, first and third update of one.
        words = ("--trainer.updates_per_phase=3", "--searcher.batches_per_phase=2", "--checkpoint.every=25",
                 "--trainer.steps=100", "--replay.capacity=200")
        for np in (1, 4):
            whole = self.run_deck(f"whole{np}", np, *words)
            for step in (25, 50, 75):
                with self.subTest(ranks=np, step=step):
                    part = self.run_deck(f"part{np}-{step}", np, *words,
                                         f"--run.restart={whole}/checkpoint-{step}.h5")
                    self.assert_same_run(whole, part, 100)


if __name__ == "__main__":
    unittest.main(verbosity=2)
