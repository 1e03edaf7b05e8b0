"""Nobody waits: a stopped trainer does not stop the searchers, a stopped searcher does not stop the trainer."""
import os
import signal
import time
import unittest

import numpy

from harness import ProgramTest, columns, smoke

PAUSE = 2  # seconds


class Asynchrony(ProgramTest):
    def endless(self, *words, np):
        job = self.start(smoke("hypergrid"), "--run.name=run", "--trainer.steps=1e9", "--run.interval=20",
                         "--evaluation.every=0", *words, np=np)
        self.metrics = self.folder / "runs" / "run" / "metrics.h5"
        self.wait_for(lambda: self.rows() > 20, 30, "twenty rows of metrics")
        return job

    def rows(self):
        read = columns(self.metrics, "training", "seconds")
        return 0 if read is None else len(read[0])

    def read(self, *names):
        return self.wait_for(lambda: columns(self.metrics, "training", *names), 5, "readable metrics")

    def pause(self, job, rank):
        """Rows of metrics before and after."""
        process = job.ranks()[rank]
        first = self.rows()
        os.kill(process, signal.SIGSTOP)
        time.sleep(PAUSE)
        os.kill(process, signal.SIGCONT)
        self.wait_for(lambda: self.rows() > first + 20, 30, "rows after the pause")
        return first

    def test_searchers_go_on_without_the_trainer(self):
        job = self.endless("--replay.lane=overwrite", "--replay.lane_bytes=64KiB", np=3)
        first = self.pause(job, 0)
        seconds, rate, skipped = self.read("seconds", "searcher_rate", "skipped")
        lengths = numpy.diff(seconds)
        held = int(numpy.argmax(lengths)) + 1  # the row that the pause is in
        self.assertGreaterEqual(held, first - 2)
        self.assertGreater(lengths[held - 1], 0.9 * PAUSE)
        usual = (rate[5:held] * lengths[4:held - 1]).sum() / lengths[4:held - 1].sum()
        self.assertGreater(rate[held], 0.5 * usual)
        self.assertGreater(skipped[-1], 0)  # what was overwritten meanwhile is counted

    def test_trainer_goes_on_without_a_searcher(self):
        job = self.endless("--replay.samples_per_insert=4", np=3)
        process = job.ranks()[2]
        os.kill(process, signal.SIGSTOP)
        time.sleep(0.3)
        before = self.read("step")[0][-1]
        time.sleep(PAUSE)
        after = self.read("step")[0][-1]
        os.kill(process, signal.SIGCONT)
        seconds, step, longest = self.read("seconds", "step", "staleness")
        usual = (step[20] - step[5]) / (seconds[20] - seconds[5])
        self.assertGreater(after - before, 0.2 * usual * PAUSE)
        self.assertGreater(longest.max(), 0)

    def test_staleness_and_idle_shares_are_reported(self):
        self.endless("--replay.samples_per_insert=1", "--replay.lane_bytes=16KiB", np=4)
        staleness, histogram, searcher, trainer = self.read("staleness", "staleness_histogram", "searcher_idle",
                                                            "trainer_idle")
        self.assertGreater(staleness[5:].mean(), 0)
        self.assertTrue((histogram.sum(axis=1) == 20 * 16).all())
        for share in (searcher, trainer):
            self.assertTrue(((share >= 0) & (share <= 1)).all(), share)
        self.assertGreater(searcher.max(), 0)  # three searchers are more than one trainer can use


if __name__ == "__main__":
    unittest.main(verbosity=2)
