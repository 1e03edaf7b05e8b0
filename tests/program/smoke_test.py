"""Every deck of inputs/smoke on 1, 2 and 4 ranks, one on 8, and with two trainers: each ends and leaves its files."""
import sys
import unittest

import h5py
import numpy

from harness import INPUTS, ProgramTest, columns, content, smoke


class Smoke(ProgramTest):
    def check(self, deck, np, *words):
        name = f"{deck}-{np}" + "".join(words).replace("=", "-").replace(".", "-")
        result = self.succeed(smoke(deck), f"--run.name={name}", *words, np=np)
        run = self.folder / "runs" / name
        steps = 200 if deck == "lockstep" else 300
        self.assertIn(f"{steps} updates, ", result.out)
        self.assertIn("results are in runs/", result.out)
        self.assertEqual((run / "LATEST").read_text(), f"checkpoint-{steps}.h5\n")
        self.assertIn(f"name = {name} ", (run / "deck.ini").read_text())
        self.assertEqual(content(run / f"checkpoint-{steps}.h5")["@step"], steps)
        self.check_metrics(run / "metrics.h5", steps, np)

    def check_metrics(self, metrics, steps, np):
        step, loss, log_z = columns(metrics, "training", "step", "loss", "log_z")
        numpy.testing.assert_array_equal(step, numpy.arange(50, steps + 1, 50))
        self.assertTrue(numpy.isfinite(loss).all() and numpy.isfinite(log_z).all())
        at, tv = columns(metrics, "evaluation", "step", "tv")
        self.assertGreaterEqual(len(at), 2)
        self.assertEqual(at[-1], steps)
        self.assertTrue((numpy.diff(at) > 0).all(), at)
        self.assertTrue(((tv >= 0) & (tv <= 1)).all())
        self.assertLess(tv[-1], 0.5 * tv[0])
        with h5py.File(metrics, "r") as file:
            self.assertEqual(file.attrs["ranks"], np)
            self.assertEqual(file["exact/target"].shape[0], file["evaluation/distribution"].shape[1])

    def test_every_deck_is_tried(self):
        self.assertEqual(sorted(path.stem for path in (INPUTS / "smoke").glob("*.ini")),
                         ["bits", "hypergrid", "lockstep", "max4_smollm2", "subtb", "tokens"])

    def test_eight_ranks(self):
        self.check("hypergrid", 8)

    def test_two_trainers(self):
        self.check("hypergrid", 4, "--world.trainers=2")
        self.check("lockstep", 4, "--world.trainers=2")

    def test_two_trainers_with_short_lanes(self):
        # Records go to either trainer by chance: one that is ahead must not hold up searchers that the other needs.
        self.check("hypergrid", 4, "--world.trainers=2", "--replay.samples_per_insert=1", "--replay.lane_bytes=1KiB")

    def test_ranks_with_both_roles(self):
        self.check("hypergrid", 2, "--world.trainers=2")
        self.check("bits", 2, "--world.trainers=2")


for one in ("bits", "hypergrid", "lockstep", "subtb"):
    for ranks in (1, 2, 4):
        setattr(Smoke, f"test_{one}_{ranks}", lambda self, deck=one, np=ranks: self.check(deck, np))

if __name__ == "__main__":
    unittest.main(argv=sys.argv, verbosity=2)
