"""tightrope-report on a checkpoint alone.

Environment: as tests/program/harness.py.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(os.environ["TIGHTROPE_SOURCE"])
sys.path[:0] = [str(SOURCE / "tests/program"), str(SOURCE / "apps/report")]
import checkpoint as report_checkpoint  # noqa: E402
import h5py  # noqa: E402
import numpy as np  # noqa: E402
from harness import ProgramTest, smoke  # noqa: E402

OLD = SOURCE / "tests/fixtures/checkpoints/version-1.h5"


class ReportCheckpoint(ProgramTest):
    def report(self, *words, code=0):
        done = subprocess.run([SOURCE / "apps/tightrope-report", *map(str, words)], cwd=self.folder, text=True,
                              capture_output=True, env={**os.environ, "COLUMNS": "120"})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_of_a_run(self):
        self.succeed(smoke("lockstep"), "--run.name=grid", "--world.trainers=2", np=2)
        text = self.report("runs/grid/checkpoint-200.h5")
        for part in ("checkpoint         grid/checkpoint-200 (task hypergrid, 2 ranks, 2 trainers, 2 searchers, ",
                     "step               200, after ", "policy 200", "updates_in_phase 0\n",
                     "policy, network    6 tensors, 70,915 values: norm ",
                     "policy, log_z      1 tensor, 1 values: norm ",
                     "by trainer)\n", "versions           0 to 198\n", "[hypergrid]        dimensions = 2, side = 8, "):
            self.assertIn(part, text)
        picture = self.folder / "runs/grid/report/checkpoint-200.png"
        self.assertGreater(picture.stat().st_size, 30000)

    def test_numbers(self):
        found = report_checkpoint.Checkpoint(OLD)
        with h5py.File(OLD, "r") as file:
            weights = file["parameters/policy/weights"][:].astype("f8")
            stale = 40 - file["index/version"][:]
        whole = report_checkpoint.groups(found.sets["policy"])
        self.assertAlmostEqual(sum(norms["weights"] ** 2 for _, _, norms in whole.values()), (weights ** 2).sum())
        self.assertEqual(sum(values for _, values, _ in whole.values()), len(weights))
        counts = found.staleness_counts()
        self.assertEqual([counts.sum(), counts[0], counts[1], counts[2]],
                         [80, (stale == 0).sum(), (stale == 1).sum(), ((stale == 2) | (stale == 3)).sum()])
        self.assertEqual(found.staleness().tolist(), stale.tolist())

    def test_without_records_and_pictures(self):
        empty = self.folder / "empty.h5"
        shutil.copy(OLD, empty)
        with h5py.File(empty, "r+") as file:
            for group in ("store", "index"):
                for name, column in list(file[group].items()):
                    kind = column.dtype
                    del file[group][name]
                    file[group].create_dataset(name, data=np.empty(0, kind)).attrs["slabs"] = [0, 0]
        text = self.report(empty)
        self.assertIn("records            0, 0 bytes", text)
        self.assertNotIn("versions", text)
        self.assertTrue((self.folder / "report/empty.png").exists())
        self.report(OLD, "--no-plots")

    def test_what_cannot_be_read(self):
        newer, damaged = self.folder / "newer.h5", self.folder / "damaged.h5"
        for copy in (newer, damaged):
            shutil.copy(OLD, copy)
        with h5py.File(newer, "r+") as file:
            file.attrs["format_version"] = 99
        with h5py.File(damaged, "r+") as file:
            del file["store/record_bytes"]
        self.assertIn("its format version is 99", self.report(newer, code=1))
        self.assertIn("it is damaged", self.report(damaged, code=1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
