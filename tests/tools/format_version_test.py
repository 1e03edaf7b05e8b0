"""The format of checkpoints: one of version 1, made when that was the newest, opens for ever; a newer one is refused.

tests/fixtures/checkpoints/version-1.h5: the 4x4 hypergrid after 40 updates, lockstep, two ranks with both roles.
Environment: as tests/program/harness.py, and TIGHTROPE_INSPECT.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
import h5py  # noqa: E402
from harness import ProgramTest, columns  # noqa: E402

OLD = pathlib.Path(os.environ["TIGHTROPE_SOURCE"]) / "tests/fixtures/checkpoints/version-1.h5"


class FormatVersion(ProgramTest):
    def restart(self, path):
        with h5py.File(path, "r") as file:
            self.deck(file.attrs["deck"])
        return self.run_program("deck.ini", "--run.name=on", "--trainer.steps=60", f"--run.restart={path}", np=2)

    def test_version_1_goes_on(self):
        result = self.restart(OLD)
        self.assertEqual(result.code, 0, result)
        self.assertIn("restarted at step 40\n", result.out)
        run = self.folder / "runs" / "on"
        self.assertEqual(list(columns(run / "metrics.h5", "training", "step")[0]), [60])
        self.assertTrue((run / "checkpoint-60.h5").exists())

    def test_version_1_is_whole(self):
        done = subprocess.run([os.environ["TIGHTROPE_INSPECT"], OLD], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("step            40\n", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^/store/record_bytes +int64 +80 +40, 40 +ok$")

    def test_a_newer_version_is_refused(self):
        newer = self.folder / "newer.h5"
        shutil.copy(OLD, newer)
        with h5py.File(newer, "r+") as file:
            file.attrs["format_version"] = 99
        result = self.restart(newer)
        self.assertNotEqual(result.code, 0, result)
        self.assertRegex(result.err, r"its format version is 99, and this program reads up to version \d+\) use ")


if __name__ == "__main__":
    unittest.main(verbosity=2)
