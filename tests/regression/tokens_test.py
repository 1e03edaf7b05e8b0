"""Asynchronous TBA on a text task of which every completion is known: one trainer and two searchers reach
pi_ref(y|x) exp(r(y; x)) / Z."""
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["TIGHTROPE_SOURCE"]) / "tests" / "program"))

import numpy

from harness import INPUTS, ProgramTest, columns


class Tokens(ProgramTest):
    def test_reaches_the_exact_posterior(self):
        self.succeed(INPUTS / "smoke" / "tokens.ini", np=3, seconds=200)
        metrics = self.folder / "runs" / "tokens" / "metrics.h5"
        tv, log_z = columns(metrics, "evaluation", "tv", "log_z")
        spread, staleness, idle = columns(metrics, "training", "spread", "staleness", "trainer_idle")
        exact = columns(metrics, "exact", "log_z")[0][0]
        print(f"tokens: TV {tv[0]:.3f} -> {numpy.median(tv[-3:]):.4f}, log Z error {log_z[-1] - exact:.4f}, "
              f"spread {spread[0]:.2f} -> {spread[-1]:.4f}, staleness {staleness.mean():.1f}", flush=True)
        self.assertGreater(tv[0], 0.2)
        self.assertLess(numpy.median(tv[-3:]), 0.02)
        self.assertLess(spread[-1], 0.05)
        self.assertLess(abs(log_z[-1] - exact), 0.02)
        self.assertGreater(staleness[1:].max(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
