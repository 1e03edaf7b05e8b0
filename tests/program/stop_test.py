"""How a run is asked to stop: signals to any rank, files in its folder, the end of its time."""
import os
import pathlib
import re
import shutil
import signal
import unittest

import h5py

from harness import ProgramTest, columns, smoke

LIMIT = 60  # seconds, for an end that takes well under one


class Stop(ProgramTest):
    def endless(self, *words, np):
        job = self.start(smoke("hypergrid"), "--run.name=run", "--trainer.steps=1e9", "--evaluation.every=0", *words,
                         np=np)
        self.run = self.folder / "runs" / "run"
        self.wait_for(lambda: columns(self.run / "metrics.h5", "training", "step"), LIMIT, "a row of metrics")
        return job

    def newest(self):
        """Step of the newest checkpoint."""
        with h5py.File(self.run / (self.run / "LATEST").read_text().strip(), "r") as file:
            return int(file.attrs["step"])

    def check_interrupted(self, job, reason, np, *words):
        result = job.wait(LIMIT)
        self.assertEqual(result.code, 75, result)
        step = self.newest()
        self.assertIn(f"the run is not finished ({reason}) step {step} of 1000000000 is saved in runs/run; go on with "
                      "--run.restart=auto\n", result.out)
        self.assertNotIn("results are in", result.out)
        self.assertIsNone(columns(self.run / "metrics.h5", "evaluation", "step"))  # nothing was evaluated
        result = self.succeed(smoke("hypergrid"), "--run.name=run", "--run.restart=auto", "--evaluation.every=0",
                              f"--trainer.steps={step + 50}", *words, np=np)
        self.assertIn(f"restarted at step {step}\nchanged since the checkpoint: ", result.out)
        self.assertIn(f"changed since the checkpoint: trainer.steps: 1000000000 -> {step + 50}\n", result.out)
        self.assertIn("results are in", result.out)
        steps = columns(self.run / "metrics.h5", "training", "step")[0]
        self.assertTrue((steps[1:] > steps[:-1]).all())
        self.assertEqual(steps[-1], step + 50)

    def interrupt(self, sent, rank, np, reason, *words):
        job = self.endless(*words, np=np)
        os.kill(job.ranks()[rank], sent)
        self.check_interrupted(job, reason, np, *words)

    def test_a_signal_to_the_trainer(self):
        self.interrupt(signal.SIGUSR1, 0, 3, "SIGUSR1")

    def test_a_signal_to_a_searcher(self):
        self.interrupt(signal.SIGUSR1, 2, 3, "a signal to another rank")

    def test_a_signal_to_one_of_two_trainers(self):
        self.interrupt(signal.SIGTERM, 1, 4, "a signal to another rank", "--world.trainers=2")

    def test_a_signal_to_the_only_rank(self):
        self.interrupt(signal.SIGINT, 0, 1, "SIGINT")

    def test_a_signal_to_the_launcher(self):
        job = self.endless(np=2)
        os.kill(job.process.pid, signal.SIGUSR1)
        self.check_interrupted(job, "SIGUSR1", 2)

    def test_a_second_interrupt_ends_it_at_once(self):
        # Parameters enough for an update to take longer than the second signal: 17 million.
        job = self.endless("--policy.width=4096", "--run.interval=1", np=1)
        rank = job.ranks()[0]
        os.kill(rank, signal.SIGINT)
        self.wait_for(lambda: not self.catches(rank, signal.SIGINT), LIMIT, "the first one has arrived")
        os.kill(rank, signal.SIGINT)
        result = job.wait(LIMIT)
        self.assertNotIn(result.code, (0, 75), result)
        self.assertNotIn("the run is not finished", result.out)

    @staticmethod
    def catches(process, number):
        """Whether the process has a handler for the signal."""
        mask = re.search(r"SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{process}/status").read_text())[1]
        return int(mask, 16) >> (number - 1) & 1

    def test_wall_time(self):
        # Checkpoints on the way, so that their time is measured; it ends before its time whatever they take.
        job = self.endless("--run.wall_time=8s", "--checkpoint.every=200", "--run.progress=always", np=2)
        self.check_interrupted(job, "run.wall_time", 2)
        with h5py.File(next(self.run.glob("checkpoint-*.h5")), "r") as file:
            self.assertLess(file["scalars"].attrs["seconds"], 8)

    def test_wall_time_too_short_for_an_update(self):
        words = (smoke("hypergrid"), "--run.name=run", "--run.wall_time=1s", "--run.restart=auto")
        for _ in range(2):  # the second one goes on from the first one's checkpoint, and gets no further
            result = self.run_program(*words, np=2)
            self.assertEqual(result.code, 1, result)
            self.assertRegex(result.err, r"(?m)^run.wall_time is over before the first update \(a start and a "
                                         r"checkpoint take longer\): another start would get no further; raise it "
                                         r"above \d+ s$")
            self.assertTrue((self.folder / "runs/run/checkpoint-0.h5").exists())

    def test_stop_file(self):
        for np in (1, 3):
            with self.subTest(np=np):
                shutil.rmtree(self.folder / "runs", ignore_errors=True)
                job = self.endless(np=np)
                (self.run / "STOP").touch()
                result = job.wait(LIMIT)
                self.assertEqual(result.code, 0, result)
                self.assertFalse((self.run / "STOP").exists())
                step = self.newest()
                self.assertIn(f"{step} updates, ", result.out)
                self.assertIn("results are in", result.out)
                self.assertEqual(columns(self.run / "metrics.h5", "evaluation", "step")[0][-1], step)
                self.assertEqual(columns(self.run / "metrics.h5", "training", "step")[0][-1], step)

    def test_checkpoint_file(self):
        job = self.endless("--world.trainers=2", np=4)
        for _ in range(2):
            before = set(self.run.glob("checkpoint-*.h5"))
            (self.run / "CHECKPOINT").touch()
            self.wait_for(lambda before=before: set(self.run.glob("checkpoint-*.h5")) - before, LIMIT, "a checkpoint")
            self.assertFalse((self.run / "CHECKPOINT").exists())
        self.assertIsNone(job.process.poll())
        (self.run / "STOP").touch()
        self.assertEqual(job.wait(LIMIT).code, 0)

    def test_lockstep_stops_between_updates(self):
        self.interrupt(signal.SIGUSR1, 1, 3, "a signal to another rank", "--run.mode=lockstep")


if __name__ == "__main__":
    unittest.main(verbosity=2)
