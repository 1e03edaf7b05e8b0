"""tightrope-report on example runs: numbers, plots, several runs, growing, killed and damaged ones.

  report_test.py EXAMPLE_RUN SOURCE
"""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

EXAMPLE_RUN, SOURCE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
sys.path.insert(0, str(SOURCE / "apps/report"))
import numpy as np  # noqa: E402
import run as report_run  # noqa: E402  (of apps/report)


class Report(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.here = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def example(self, name, *options):
        subprocess.run([EXAMPLE_RUN, self.here / name, *options], check=True)

    def report(self, *arguments, code=0):
        done = subprocess.run([SOURCE / "apps/tightrope-report", *arguments], cwd=self.here, capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_summary_and_plots_of_a_run(self):
        self.example("grid")
        text = self.report("grid")
        for part in ("8,000 in 1 min 00 s, 128,000 trajectories", "log Z         3.1091 nats, exact 3.1091",
                     "exact TV      0.0040 (median of the last 5 evaluations); 128,000 perfect samples",
                     "staleness     mean 6.7 updates, 95 % at most 31", "searchers 8 %, trainers 21 %"):
            self.assertIn(part, text)
        for name in ("loss", "log_z", "tv", "distribution", "histograms"):
            picture = self.here / "grid/report" / f"{name}.png"
            self.assertEqual(picture.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
            self.assertGreater(picture.stat().st_size, 10000)

    def test_a_task_without_exact_values(self):
        self.example("free", "--without-exact")
        text = self.report("free", "--out", "elsewhere")
        self.assertIn("the exact value is not known", text)
        self.assertIn("exact TV      not known for this task", text)
        self.assertEqual(sorted(path.name for path in (self.here / "elsewhere").iterdir()),
                         ["histograms.png", "log_z.png", "loss.png"])

    def test_one_row_is_enough(self):
        self.example("short", "--rows=1")
        self.assertIn("3,200 trajectories", self.report("short"))

    def test_several_runs_make_a_table_and_an_overlay(self):
        self.example("fast")
        self.example("slow", "--decay=16000")
        self.example("free", "--without-exact")
        lines = self.report("fast", "slow", "free").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["run", "fast", "slow", "free", "plots"])
        self.assertTrue((self.here / "compare.png").exists())

    def test_a_growing_run_and_a_killed_one(self):
        writer = subprocess.Popen([EXAMPLE_RUN, self.here / "live", "--rows=1000", "--seconds-per-row=0.4"])
        try:
            self.wait_for_rows(2)
            self.assertIn("trajectories trained", self.report("live", "--no-plots"))
            rows = self.wait_for_rows(5)
            time.sleep(0.1)  # between two flushes
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        self.assertIn(f"{3200 * rows:,} trajectories trained", self.report("live", "--no-plots"))

    def wait_for_rows(self, count):
        """Rows of a growing run, once there are at least `count`: right after a flush."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                found = report_run.Run(self.here / "live")
                if found.rows(found.training) >= count:
                    return found.rows(found.training)
            except report_run.Problem:
                pass  # not there yet
            time.sleep(0.02)
        self.fail("the run does not grow")

    def test_one_sentence_for_what_cannot_be_read(self):
        (self.here / "empty").mkdir()
        (self.here / "text").mkdir()
        (self.here / "text/metrics.h5").write_text("not HDF5")
        self.example("cut")
        os.truncate(self.here / "cut/metrics.h5", 3000)
        self.example("rowless", "--rows=0")
        for name, part in (("nowhere", "there is no such file or folder"), ("empty", "no metrics.h5 in it"),
                           ("text", "damaged or no metrics file"), ("cut", "damaged or no metrics file"),
                           ("rowless", "it holds no row yet")):
            message = self.report(name, code=1)
            self.assertIn(part, message)
            self.assertEqual(len(message.splitlines()), 1, message)
            self.assertNotIn("Traceback", message)


class Arithmetic(unittest.TestCase):
    def test_the_floor_is_the_mean_distance_of_perfect_samples(self):
        target = np.array([0.5, 0.25, 0.125, 0.1, 0.025, 0.0])
        for n in (1, 7, 64, 3000):
            draws = np.random.default_rng(3).multinomial(n, target, size=40000) / n
            distance = np.abs(draws - target).sum(axis=1) / 2
            error = 5 * distance.std() / np.sqrt(len(distance))
            self.assertAlmostEqual(report_run.floor_of_tv(target, n), distance.mean(), delta=error + 1e-12)

    def test_bins(self):
        self.assertEqual(report_run.bin_edges(5), [0, 1, 2, 4, 8])
        self.assertEqual(report_run.bin_labels(5), ["0", "1", "2\u20133", "4\u20137", "\u22658"])
        self.assertEqual(report_run.share_below(np.array([50, 40, 10, 0, 0]), 0.95), 3)
        self.assertEqual(report_run.share_below(np.array([0, 0, 0, 0, 9]), 0.95), 8)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
