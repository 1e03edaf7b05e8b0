"""docs/hdf5.md is true: its table of columns is the program's, and its recipes run as they stand on the page.

  recipes_test.py EXAMPLE_RUN SOURCE
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

EXAMPLE_RUN, SOURCE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
PAGE = (SOURCE / "docs/hdf5.md").read_text()
ENVIRONMENT = {**os.environ, "MPLBACKEND": "Agg"}


class Recipes(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.here = pathlib.Path(self.folder.name)
        for name, decay in (("one", 8000), ("two", 16000)):
            subprocess.run([EXAMPLE_RUN, self.here / name, f"--decay={decay}"], check=True)
        self.code = re.findall(r"```python\n(.*?)```", PAGE, re.S)

    def tearDown(self):
        self.folder.cleanup()

    def run_recipe(self, index, *runs):
        done = subprocess.run([sys.executable, "-c", self.code[index], *runs], cwd=self.here, env=ENVIRONMENT,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_there_are_three_of_about_ten_lines(self):
        self.assertEqual(len(self.code), 3)
        for code in self.code:
            self.assertLessEqual(len(code.splitlines()), 10)

    def test_a_curve(self):
        self.run_recipe(0, "one")
        self.assertGreater((self.here / "curve.png").stat().st_size, 5000)

    def test_the_replay_histogram(self):
        lines = self.run_recipe(1, "one").splitlines()
        self.assertEqual(len(lines), 8)
        self.assertRegex(lines[4], r"^from    8 updates: +[1-9]\d* draws$")
        self.assertGreater((self.here / "staleness.png").stat().st_size, 5000)

    def test_two_runs_compared(self):
        text = self.run_recipe(2, "one", "two")
        self.assertIn("one: 128000 trajectories, last loss 0.001 nats^2", text)
        self.assertIn("two: 128000 trajectories", text)
        self.assertGreater((self.here / "compared.png").stat().st_size, 5000)


class Columns(unittest.TestCase):
    def test_the_page_lists_the_columns_that_the_program_knows(self):
        source = (SOURCE / "src/run/metrics_columns.cpp").read_text()
        known = {name: unit for name, unit in re.findall(r'\{"(\w+)",\s*"([^"]*)",\s*"', source)}
        page = {name: unit for name, unit in re.findall(r"^\| [\w ]+ \| (\w+) \|\s*([^| ]*) *\| ",
                                                           PAGE.split("## samples.jsonl")[0], re.M)
                if name != "column"}
        self.assertEqual(page, known)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
