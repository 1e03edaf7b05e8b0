"""A failure of one rank ends the job within seconds, and what was written by then can be read."""
import os
import signal
import subprocess
import unittest

from harness import INPUTS, ProgramTest, columns, content, smoke

LIMIT = 10  # seconds to the end of the job


class Failure(ProgramTest):
    def test_a_killed_rank_ends_the_job(self):
        for rank in (0, 2):
            with self.subTest(rank=rank):
                job = self.start(smoke("hypergrid"), f"--run.name=killed-{rank}", "--trainer.steps=1e9",
                                 "--checkpoint.every=50", np=4)
                run = self.folder / "runs" / f"killed-{rank}"
                self.wait_for(lambda run=run: (run / "LATEST").exists(), 30, "a checkpoint")
                rows = len(self.wait_for(lambda run=run: columns(run / "metrics.h5", "training", "step"), 10,
                                         "rows of metrics")[0])
                os.kill(job.ranks()[rank], signal.SIGKILL)
                result = job.wait(LIMIT)
                self.assertNotEqual(result.code, 0, result)
                self.check_left(run, rows)

    def check_left(self, run, rows):
        step, loss = columns(run / "metrics.h5", "training", "step", "loss")
        self.assertGreaterEqual(len(loss), rows)
        self.assertTrue((step[1:] > step[:-1]).all())
        content(run / (run / "LATEST").read_text().strip())
        report = subprocess.run([INPUTS.parent / "apps/tightrope-report", run, "--no-plots"], check=False,
                                capture_output=True, text=True)
        self.assertEqual(report.returncode, 0, report.stderr)
        self.assertIn(run.name, report.stdout)
        # And the run goes on from there.
        end = int(step[-1]) + 100
        result = self.succeed(smoke("hypergrid"), f"--run.name={run.name}", "--checkpoint.every=50",
                              f"--trainer.steps={end}", "--run.restart=auto", np=4)
        self.assertIn("restarted at step ", result.out)
        self.assertEqual(columns(run / "metrics.h5", "training", "step")[0][-1], end)

    def test_an_exception_of_one_rank_ends_the_job(self):
        (self.folder / "runs").write_text("a file, not a folder\n")
        result = self.start(smoke("hypergrid"), np=4).wait(LIMIT)
        self.assertNotEqual(result.code, 0, result)
        self.assertRegex(result.err, r"(?m)^rank 0 on host \S+ at step 0: cannot make the folder runs/hypergrid "
                                     r"\(.+\) check the permissions, or choose another with run.folder and run.name$")

    def test_a_failure_within_the_run_names_its_step(self):
        # A rate of 10 per update throws the weights out of what float32 holds.
        result = self.run_program(smoke("hypergrid"), "--trainer.learning_rate=10", "--trainer.weight_decay=1",
                                  "--objective.temperature=1e-9", np=4, seconds=30)
        self.assertNotEqual(result.code, 0, result)
        self.assertRegex(result.err, r"(?m)^rank 0 on host \S+ at step \d+: the gradient is not finite \(norm .+\) "
                                     r"lower trainer.learning_rate, or set trainer.clip$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
