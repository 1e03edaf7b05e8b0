"""tightrope-report on several runs: what differs between their decks, and one page.

  compare_test.py EXAMPLE_RUN SOURCE
"""
import sys
import unittest

import report_test  # noqa: I001  (it finds apps/report)
import compare
import h5py
import run as report_run
import text_run

DECK = "[run]\nname = {name}\nseed = {seed}\n[trainer]\nbatch = {batch}\nlearning_rate = {rate}\n"


class Compare(report_test.ReportTest):
    def sweep(self):
        for i, rate in enumerate(("0.001", "0.01", "0.1")):
            name = f"sweep-{i}"
            self.example(name, f"--decay={8000 * (i + 1)}")
            with h5py.File(self.here / name / "metrics.h5", "r+") as file:
                file.attrs["deck"] = DECK.format(name=name, seed=1 + i % 2, batch=16, rate=rate)
        return ["sweep-0", "sweep-1", "sweep-2"]

    def table(self, *arguments):
        """The lines of the table as dictionaries."""
        lines = [[cell.strip() for cell in line.strip("|").split("|")]
                 for line in self.report(*arguments, "--markdown", "--no-plots").splitlines() if line.startswith("|")]
        return [dict(zip(lines[0], line)) for line in lines[2:]]

    def test_keys_that_differ_and_final_values(self):
        rows = self.table(*self.sweep())
        self.assertEqual([(row["run"], row["seed"], row["learning_rate"]) for row in rows],
                         [("sweep-0", "1", "0.001"), ("sweep-1", "2", "0.01"), ("sweep-2", "1", "0.1")])
        self.assertNotIn("batch", rows[0])
        self.assertEqual(rows[0]["exact TV"], "0.0040")
        self.assertLess(float(rows[0]["loss"]), float(rows[2]["loss"]))

    def test_one_page(self):
        self.report(*self.sweep(), "--out", "page")
        self.assertEqual([path.name for path in (self.here / "page").iterdir()], ["compare.png"])
        self.assertGreater((self.here / "page/compare.png").stat().st_size, 60000)

    def test_many_different_keys(self):
        runs = []
        for name, size in (("a", 1), ("b", 2)):
            self.example(name)
            with h5py.File(self.here / name / "metrics.h5", "r+") as file:
                file.attrs["deck"] = "".join(f"[s{i}]\nkey = {size}\n" for i in range(20))
            runs.append(name)
        lines = self.report(*runs).splitlines()
        self.assertEqual(lines[0].split()[:7], ["run", *(f"s{i}.key" for i in range(6))])
        self.assertEqual(lines[3], "also different: s6.key, s7.key, s8.key, s9.key, s10.key, s11.key and 8 more keys")

    def test_a_sweep_that_has_not_all_begun(self):
        names = self.sweep()
        (self.here / "sweep-3").mkdir()
        self.example("sweep-4", "--rows=0")
        lines = self.report(*names, "sweep-3", "sweep-4").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["run", *names, "plots"])
        self.assertIn("no metrics.h5 in it", self.report("sweep-3", "nowhere", code=1))

    def test_a_page_of_more_runs_than_colours(self):
        for i in range(10):
            text_run.write(self.here / f"run-{i}", seed=i, pace=1 + i / 10)
        names = [f"run-{i}" for i in range(10)]
        runs = [report_run.Run(self.here / name) for name in names]
        self.assertEqual(compare.different_keys(runs), ["run.seed"])
        self.report(*names, "--out", "page")
        self.assertGreater((self.here / "page/compare.png").stat().st_size, 60000)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
