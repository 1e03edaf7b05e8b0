"""Training reaches the exact distribution: hypergrid decks by seeds, against bounds of the median of the last five
evaluations.  Prints the figures of every run."""
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["TIGHTROPE_SOURCE"]) / "tests" / "program"))

import h5py
import numpy

from harness import INPUTS, ProgramTest, columns

SEEDS = range(1, 1 + int(os.environ.get("TIGHTROPE_SEEDS", "3")))


class Hypergrid(ProgramTest):
    def train(self, deck, seed, trainers, most, np=4):
        """Medians over the last five evaluations: TV, |log Z error|, worst relative error of a mode's mass."""
        name = f"{deck}-{trainers}-{seed}"
        result = self.succeed(INPUTS / f"{deck}.ini", f"--run.seed={seed}", f"--world.trainers={trainers}",
                              f"--run.name={name}", np=np, seconds=380)
        metrics = self.folder / "runs" / name / "metrics.h5"
        trajectories, tv, log_z, model = columns(metrics, "evaluation", "trajectories", "tv", "log_z", "distribution")
        self.assertLessEqual(trajectories[-1], most)
        with h5py.File(metrics, "r") as file:
            exact, target, mode = (file[f"exact/{x}"][:] for x in ("log_z", "target", "mode"))
        wanted = numpy.array([target[mode == m].sum() for m in range(4)])
        found = numpy.array([[row[mode == m].sum() for m in range(4)] for row in model[-5:]])
        figures = (numpy.median(tv[-5:]), numpy.median(abs(log_z[-5:] - exact)),
                   abs(numpy.median(found, axis=0) / wanted - 1).max())
        print(f"{deck} {trainers}+{np - trainers} seed {seed}: TV %.2g, |log Z error| %.2g, modes within %.2g%%, %.0f s"
              % (figures[0], figures[1], 100 * figures[2], result.seconds), flush=True)
        return figures

    def check_dense(self, trainers, np=4):
        for seed in SEEDS:
            with self.subTest(seed=seed):
                tv, log_z, _ = self.train("hypergrid", seed, trainers, 64_000, np)
                self.assertLessEqual(tv, 0.02)
                self.assertLessEqual(log_z, 0.03)

    def test_one_trainer_three_searchers(self):
        self.check_dense(1)

    def test_two_trainers_two_searchers(self):
        self.check_dense(2)

    def test_four_trainers_four_searchers(self):
        self.check_dense(4, np=8)

    def test_sparse_reward(self):
        for seed in SEEDS:
            with self.subTest(seed=seed):
                tv, _, modes = self.train("hypergrid_sparse", seed, 1, 256_000)
                self.assertLessEqual(tv, 0.03)
                self.assertLessEqual(modes, 0.05)


if __name__ == "__main__":
    unittest.main(verbosity=2)
