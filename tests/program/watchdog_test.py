"""A rank that stands still: the others say where they wait, and the job ends."""
import os
import signal
import unittest

from harness import ProgramTest, columns, smoke


class Watchdog(ProgramTest):
    def test_a_held_searcher(self):
        job = self.start(smoke("lockstep"), "--run.name=run", "--trainer.steps=1e9", "--checkpoint.every=0",
                         "--evaluation.every=0", "--run.watchdog=5s", "--world.trainers=2", np=4)
        self.wait_for(lambda: columns(self.folder / "runs/run/metrics.h5", "training", "step"), 60, "a row of metrics")
        os.kill(job.ranks()[3], signal.SIGSTOP)
        result = job.wait(60)
        self.assertNotEqual(result.code, 0, result)
        for rank, role in ((0, "trainer 0"), (1, "trainer 1"), (2, "searcher 0")):
            self.assertRegex(result.err, rf"(?m)^rank {rank} on host \S+ at step [1-9]\d*: no step for \d+ s \({role}, "
                                         r"(outside of any wait|waits in \w+)\)")
        # Rank 3 cannot speak: another one reads what it noted last.
        self.assertRegex(result.err, r"(?m)^rank 3 on host \S+ at step [1-9]\d*: no step for [4-9] s \(searcher 1, "
                                     r"(outside of any wait|waits in [^)]+)\), stopped or dead$")
        self.assertRegex(result.err, r"the job is ended: look at the ranks that stand still, restart with "
                                     r"--run.restart=auto, or raise run.watchdog")

    def test_it_sleeps_where_the_run_goes_on(self):
        self.succeed(smoke("lockstep"), "--run.watchdog=5s", "--trainer.steps=500", np=2)
        self.succeed(smoke("lockstep"), "--run.watchdog=0", "--trainer.steps=50", np=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
