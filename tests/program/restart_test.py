"""Restarts that cannot be are refused in a sentence; a damaged checkpoint is passed over for the one before it.  Other
ranks: elastic_test.py."""
import unittest

from harness import ProgramTest, columns, smoke


class Restart(ProgramTest):
    def first_run(self, np=2):
        self.succeed(smoke("lockstep"), "--run.name=first", np=np)
        return self.folder / "runs" / "first"

    def refuse(self, run, *words, np=2, deck="lockstep"):
        result = self.run_program(smoke(deck), *words, f"--run.restart={run}", np=np, seconds=20)
        self.assertNotEqual(result.code, 0, result)
        self.assertRegex(result.err, r"(?m)^rank \d+ on host \S+ at step 0: ")
        return result.err

    def test_refusals(self):
        newest = self.first_run() / "checkpoint-200.h5"
        self.assertIn("holds another task (hypergrid) restart with the deck that is in it",
                      self.refuse(newest, deck="bits"))
        self.assertIn("the checkpoint holds another policy", self.refuse(newest, "--policy.width=32"))
        self.assertIn("absent.h5", self.refuse(self.folder / "absent.h5"))
        (self.folder / "text.h5").write_text("no checkpoint\n")
        self.assertIn("text.h5", self.refuse(self.folder / "text.h5"))

    def test_damage_is_found_and_passed_over(self):
        run = self.first_run()
        newest = run / "checkpoint-200.h5"
        bytes_of = bytearray(newest.read_bytes())
        bytes_of[len(bytes_of) // 2] ^= 1
        newest.write_bytes(bytes_of)
        self.assertIn("checkpoint-200.h5", self.refuse(newest))
        result = self.succeed(smoke("lockstep"), "--run.name=first", "--run.restart=auto", np=2)
        self.assertRegex(result.err, r"(?m)^checkpoint 'runs/first/checkpoint-200.h5' is skipped \(.+\)$")
        self.assertIn("restarted at step 100\n", result.out)
        self.assertEqual(list(columns(run / "metrics.h5", "training", "step")[0]), [50, 100, 150, 200])

    def test_auto_without_a_checkpoint_begins(self):
        result = self.succeed(smoke("lockstep"), "--run.restart=auto", "--trainer.steps=10", np=2)
        self.assertNotIn("restarted", result.out)

    def test_auto_after_the_end_has_nothing_to_do(self):
        run = self.first_run(np=1)
        before = (run / "checkpoint-200.h5").read_bytes()
        self.assertIn("restarted at step 200\n",
                      self.succeed(smoke("lockstep"), "--run.name=first", "--run.restart=auto").out)
        self.assertEqual((run / "checkpoint-200.h5").read_bytes(), before)

    def test_asynchronous_restart_goes_on(self):
        words = ("--run.name=async", "--checkpoint.every=100", "--checkpoint.keep=5")
        self.succeed(smoke("hypergrid"), *words, np=4)
        run = self.folder / "runs" / "async"
        (run / "checkpoint-300.h5").unlink()
        result = self.succeed(smoke("hypergrid"), *words, "--run.restart=auto", np=4)
        self.assertIn("restarted at step 200\n", result.out)
        seconds, step = columns(run / "metrics.h5", "training", "seconds", "step")
        self.assertEqual(list(step), [50, 100, 150, 200, 250, 300])
        self.assertTrue((seconds[1:] > seconds[:-1]).all(), seconds)


if __name__ == "__main__":
    unittest.main(verbosity=2)
