"""tightrope-report on example runs: numbers, plots, several runs, growing, killed and damaged ones.

  report_test.py EXAMPLE_RUN SOURCE
"""
import json
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
import compare_plots  # noqa: E402  (these four of apps/report)
import h5py  # noqa: E402
import numpy as np  # noqa: E402
import run as report_run  # noqa: E402
import samples  # noqa: E402
import summary  # noqa: E402
import text_run  # noqa: E402


class ReportTest(unittest.TestCase):
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


class Report(ReportTest):
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


class Words(ReportTest):
    """Runs with held-out accuracy, groups and samples in words (text_run.py)."""

    def columns(self, name, group, change):
        with h5py.File(self.here / name / "metrics.h5", "r+") as file:
            change(file[group])

    def pictures(self, folder):
        return sorted(path.stem for path in (self.here / folder).iterdir() if path.suffix == ".png")

    def test_summary_and_plots(self):
        text_run.write(self.here / "words")
        text = self.report("words")
        indent = 12 * " "
        for part in ("accuracy      sampled: 7.6 \u00b1 1.2 % at update 0, 92.2 \u00b1 1.2 % at update 120, best 92.2",
                     "  greedy: 17.6 \u00b1 2.4 % at update 0", "50 % sampled: update 80, 5 min 39 s; 85 %",
                     "sampled: correct 0.", "trained on: correct 0.", "the KL, on fresh samples)", "spread within",
                     "nats per transition", "0.096 at first, 0.05 at last", "transitions/s trained",
                     "searchers: sample 98 %", "backward 60 %", "mean_length 7.", "samples       of update 120",
                     "  highest   version 117, length 8, log p -0.400, log p_ref -7.250, log R 0.000, correct 1, ",
                     f"{indent}sort 18 73 98 -> 18 73 98\\n\n", f"{indent}sort 4 81 7 -> 4 7\\t81 \u2014 sorted!\\n"):
            self.assertIn(part, text)
        self.assertNotIn("exact TV", text)
        self.assertEqual(self.pictures("words/report"), ["divergence", "histograms", "learning", "log_z", "loss",
                                                         "trajectories"])
        for name in ("divergence", "learning", "trajectories"):
            self.assertGreater((self.here / f"words/report/{name}.png").stat().st_size, 30000)
        written = (self.here / "words/report/samples.txt").read_text()
        self.assertEqual(written.count("=== update "), 7)
        self.assertIn("  | sort 4 81 7 -> 4 7\\t81 \u2014 sorted!\n  | sort 1 2 3 -> 7 7", written)

    def test_what_is_not_there_is_left_out(self):
        text_run.write(self.here / "bare")
        (self.here / "bare/samples.jsonl").unlink()
        self.columns("bare", "evaluation", lambda group: group.clear())
        keep = ("step", "seconds", "trajectories", "loss", "spread", "residual_histogram")
        self.columns("bare", "training", lambda group: [group.pop(name) for name in list(group) if name not in keep])
        text = self.report("bare")
        self.assertIn("divergence    spread within groups", text)
        for part in ("accuracy ", "reached", "samples", "reward parts", "transitions"):
            self.assertNotIn(part, text)
        self.assertEqual(self.pictures("bare/report"), ["divergence", "loss"])
        self.report("bare", "bare", "--out", "two")

    def test_without_accuracy_groups_and_words_the_report_is_short(self):
        text_run.write(self.here / "short")
        (self.here / "short/samples.jsonl").unlink()
        self.columns("short", "evaluation", lambda group: group.clear())
        self.columns("short", "training", lambda group: [group.pop(name) for name in ("spread", "unique",
                                                                                      "sampled_entropy")])
        self.assertIn("exact TV      not known for this task", self.report("short"))
        self.assertEqual(self.pictures("short/report"), ["histograms", "log_z", "loss"])

    def test_samples_that_are_damaged_growing_or_strange(self):
        text_run.write(self.here / "odd")
        path = self.here / "odd/samples.jsonl"
        strange = {"step": 140, "kind": "newest", "log_ref": None, "reward": 3, "text": "a\x1b[31m\u202e\\ \ud800"}
        whole = path.read_bytes() + json.dumps(strange).encode() + b"\n"
        first = whole.split(b"\n")[0]
        path.write_bytes(whole + b'{"step": 1}\n[1]\n\xff\xfe\n' + first + b"\n" + first[:-9])
        text = self.report("odd", "--no-plots")
        self.assertIn("of update 140\n  newest    version -, length -, log p -, log p_ref -, log R -\n", text)
        self.assertIn("            a\\x1b[31m\\u202e\\\\ \\ud800\n", text)
        found, broken = samples.read(report_run.Run(self.here / "odd"))
        self.assertEqual((len(found), broken), (22, 4))  # lines that are there twice count once

    def test_several_runs_by_accuracy(self):
        for seed in (1, 2):
            for objective, pace in (("vargrad", 1.2), ("rloo", 0.7)):
                text_run.write(self.here / f"{objective}-{seed}", seed=seed, objective=objective, pace=pace)
        names = ("vargrad-1", "rloo-1", "vargrad-2", "rloo-2")
        lines = self.report(*names, "--out", "pictures").splitlines()
        self.assertEqual([line.split()[:3] for line in lines[1:3]], [["vargrad-1", "1", "vargrad"],
                                                                    ["rloo-1", "1", "rloo"]])
        self.assertTrue(lines[1].endswith("60 / 4 min 15 s  80 / 5 min 39 s"), lines[1])
        self.assertTrue(lines[2].endswith(" -"), lines[2])
        self.assertGreater((self.here / "pictures/compare.png").stat().st_size, 20000)
        lines = self.report(*names, "--markdown", "--no-plots").splitlines()
        self.assertEqual(len(lines), 6)
        self.assertEqual({line.count("|") for line in lines}, {12})
        self.assertEqual(len(self.report("rloo-1", "--markdown").splitlines()), 3)
        groups = compare_plots.groups_of([report_run.Run(self.here / name) for name in names])
        self.assertEqual([(name, [run.name for run in runs]) for name, runs in groups],
                         [("vargrad (2 runs)", ["vargrad-1", "vargrad-2"]), ("rloo (2 runs)", ["rloo-1", "rloo-2"])])

    def test_runs_with_and_without_accuracy(self):
        text_run.write(self.here / "words")
        self.example("grid")
        lines = self.report("words", "grid").splitlines()
        self.assertEqual(lines[2].split()[-4:], ["-"] * 4)
        self.assertTrue((self.here / "compare.png").exists())

    def test_seconds_come_from_the_rows_where_no_evaluation_says_them(self):
        text_run.write(self.here / "old")
        self.columns("old", "evaluation", lambda group: group.pop("seconds"))
        run = report_run.Run(self.here / "old")
        rows = run.evaluated("greedy_accuracy")
        self.assertEqual(rows[0][1], 0)
        at = list(run.training["step"]).index(rows[2][0])
        self.assertAlmostEqual(rows[2][1], run.training["seconds"][at])
        self.assertEqual(run.reached(0.5, "greedy_accuracy"), (60, run.training["seconds"][11]))


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
        self.assertEqual(report_run.residual_edges(16), [-32, -16, -8, -4, -2, -1, -0.5, 0, 0.5, 1, 2, 4, 8, 16, 32])

    def test_what_a_deck_says(self):
        deck = report_run.deck_values("# all\n[run]\nname =   # default\n[a]\nb = x=1 # y\nc = d#e\n")
        self.assertEqual(deck, {"run.name": "", "a.b": "x=1", "a.c": "d#e"})

    def test_the_median_line_ends_where_the_first_run_does(self):
        x, y = compare_plots.median_line([(np.array([0, 2, 4]), np.array([0, 20, 40])), (np.array([1, 3]), np.ones(2)),
                                          (np.array([0, 3]), np.array([9, 9]))])
        self.assertEqual((list(x), list(y)), ([1, 2, 3], [9, 9, 9]))

    def test_long_texts_keep_their_ends(self):
        self.assertEqual(samples.cut("0123456789", 10), "0123456789")
        self.assertEqual(samples.cut("0123456789abcdefghij", 12), "012 \u2026 efghij")
        wide = samples.cut(30 * "\u6570", 20)  # two columns each
        self.assertLessEqual(samples.columns(wide), 20)
        self.assertGreater(samples.columns(wide), 16)
        self.assertEqual(summary.rate(0.1234), "0.123")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
