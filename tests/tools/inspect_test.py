"""tightrope-inspect on the program's own files: what it lists, damage that it names, what differs; and that h5dump and
h5py open the same files.

Environment: as tests/program/harness.py, and TIGHTROPE_INSPECT (the tool).
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
import h5py  # noqa: E402
import numpy as np  # noqa: E402
from checksums import replace, seal  # noqa: E402
from harness import ProgramTest, smoke  # noqa: E402

WORDS = ("--world.trainers=2", "--trainer.steps=40", "--checkpoint.every=20", "--run.interval=20",
         "--evaluation.every=20", "--policy.width=8", "--checkpoint.keep=3")


class InspectTest(ProgramTest):
    kept = tempfile.TemporaryDirectory()  # of all tests: a run is made once

    def checkpoint(self, name="first", *words, step=40):
        run = pathlib.Path(self.kept.name) / name
        if not run.exists():
            place = (f"--run.folder={self.kept.name}", f"--run.name={name}")
            self.succeed(smoke("lockstep"), *WORDS, *place, *words, np=2)
        return run / f"checkpoint-{step}.h5"

    def inspect(self, *words, code=0):
        done = subprocess.run([os.environ["TIGHTROPE_INSPECT"], *map(str, words)], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code < 2 else done.stderr

    def changed(self, path, change):
        """A copy of the checkpoint in which something was changed by h5py."""
        copy = self.folder / "changed.h5"
        shutil.copy(path, copy)
        with h5py.File(copy, "r+") as file:
            change(file)
        seal(copy)
        return copy


class Listing(InspectTest):
    def test_a_checkpoint(self):
        path = self.checkpoint()
        text = self.inspect(path)
        for line in ("format          tightrope-checkpoint", "step            40", "task            hypergrid",
                     "trainers        2", "searchers       2", "/clocks         policy 40"):
            self.assertIn(line + "\n", text)
        self.assertRegex(text, r"(?m)^/parameters/policy +table \d+ tensors$")
        self.assertRegex(text, r"(?m)^deck +\d+ keys")
        with h5py.File(path, "r") as file:
            names = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            for name in names:
                slabs = ", ".join(map(str, file[name].attrs["slabs"]))
                self.assertRegex(text, rf"(?m)^/{name} +{file[name].dtype} +{len(file[name])} +{slabs} +ok$")
            self.assertIn("\n                width = 8\n", self.inspect(path, "--deck"))

    def test_metrics(self):
        text = self.inspect(self.checkpoint().parent / "metrics.h5")
        self.assertIn("format          tightrope-metrics\n", text)
        self.assertRegex(text, r"(?m)^/training +2 rows, \d+ columns$")
        self.assertRegex(text, r"(?m)^/training/loss +float64 +2 +- +-$")
        self.assertRegex(text, r"(?m)^/training/staleness_histogram +float64 +2 x \d+ +- +-$")
        self.assertRegex(text, r"(?m)^/exact/target +float64 +64 +64 +ok$")

    def test_damage_is_named(self):
        def flip(file):
            for name in ("parameters/policy/weights", "store/record_bytes"):
                file[name][0] += 1

        path = self.changed(self.checkpoint(), flip)
        done = subprocess.run([os.environ["TIGHTROPE_INSPECT"], path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.count(" damaged\n"), 2)
        self.assertIn(f"dataset '/parameters/policy/weights' of '{path}' is damaged (slab 0 differs from its checksum)",
                      done.stderr)
        self.assertIn("dataset '/store/record_bytes' of", done.stderr)

    def test_damage_beside_the_datasets(self):
        path = self.changed(self.checkpoint(), lambda file: None)
        self.inspect(path)
        data = path.read_bytes()
        at = data.index(b"learning_rate")
        path.write_bytes(data[:at] + b"L" + data[at + 1:])
        self.assertIn("what it says about its datasets is damaged", self.inspect(path, code=2))
        path.write_bytes(data[:-100])
        self.assertIn("it is truncated", self.inspect(path, code=2))

    def test_what_is_no_file_of_a_run(self):
        self.assertIn("there is no such file", self.inspect("/nowhere.h5", code=2))
        (self.folder / "text.h5").write_text("nothing\n")
        self.assertIn("not an HDF5 file", self.inspect(self.folder / "text.h5", code=2))
        self.assertIn("usage:", self.inspect(code=2))
        self.assertIn("usage:", self.inspect("--diff", "one.h5", code=2))

    def test_other_tools_open_the_same_files(self):
        path = self.checkpoint()
        for file in (path, path.parent / "metrics.h5"):
            with h5py.File(file, "r") as opened:
                self.assertIn("deck", opened.attrs)
            if shutil.which("h5dump"):
                head = subprocess.run(["h5dump", "-H", file], capture_output=True, text=True)
                self.assertEqual(head.returncode, 0, head.stderr)
                self.assertIn('ATTRIBUTE "deck"', head.stdout)
        if not shutil.which("h5dump"):
            self.skipTest("h5dump is not installed (hdf5-tools; jobs/setup.sh --tests installs it)")


class Differences(InspectTest):
    def difference(self, first, second, *words):
        return self.inspect("--diff", first, second, *words, code=1)

    def test_equal_files(self):
        path = self.checkpoint()
        self.assertEqual(self.inspect("--diff", path, path), "")
        again = self.checkpoint("again")
        # Of the folder, of the clock.
        ignored = ("--ignore", "run.name", "--ignore", "seconds", "--ignore", "row_seconds")
        self.assertEqual(self.inspect("--diff", path, again, *ignored), "")

    def test_steps_and_decks(self):
        early, late = self.checkpoint(step=20), self.checkpoint(step=40)
        text = self.difference(early, late)
        self.assertIn("attribute step: 20 -> 40\n", text)
        self.assertIn("attribute /clocks policy: 20 -> 40\n", text)
        self.assertRegex(text, r"(?m)^dataset /parameters/policy/weights: \d+ of \d+ values differ, at most by .* at "
                               r"\d+ = \S+\[\d+\]: \S+ -> \S+$")
        self.assertRegex(text, r"(?m)^records: \d+ only in the second\n  query 0, id -?\d+, version \d+$")
        self.assertNotIn("deck ", text)
        other = self.checkpoint("other", "--run.seed=7", "--trainer.clip=2")
        text = self.difference(late, other)
        self.assertIn("deck run.seed: 1 -> 7\n", text)
        self.assertIn("deck trainer.clip: 0 -> 2\n", text)

    def test_one_value_and_one_record(self):
        path = self.checkpoint()

        def change(file):
            weights, uses = file["parameters/policy/weights"], file["index/uses"]
            replace(weights, weights[:] + np.where(np.arange(len(weights)) == 3, np.float32(0.5), np.float32(0)))
            replace(uses, uses[:] + (np.arange(len(uses)) == 5))

        lines = self.difference(path, self.changed(path, change)).splitlines()
        self.assertRegex(lines[0], r"^dataset /parameters/policy/weights: 1 of \d+ values differ, at most by 0\.5\d*, "
                                   r"at 3 = layer0\.weight\[3\]: \S+ -> \S+$")
        self.assertEqual([line.split(",")[0] for line in lines[1:]],
                         ["records: 1 only in the first", "  query 0", "records: 1 only in the second", "  query 0"])

    def test_where_records_lie_does_not_matter(self):
        path = self.checkpoint()

        def turn(file):
            """The records of the first trainer in the opposite order, in other slots."""
            sizes = file["store/record_bytes"]
            count, ends = sizes.attrs["slabs"][0], np.cumsum(sizes[:])
            order = np.concatenate([np.arange(count)[::-1], np.arange(count, len(sizes))])
            data = file["store/records"][:]
            replace(file["store/records"], np.concatenate([data[ends[i] - sizes[i]:ends[i]] for i in order]))
            replace(sizes, sizes[:][order])
            for name in file["index"]:
                if len(file["index"][name]) == len(order):
                    replace(file["index"][name], file["index"][name][:][order])
            replace(file["index/slot"], file["index/slot"][:] + 1)

        self.assertEqual(self.inspect("--diff", path, self.changed(path, turn)), "")

    def test_a_dataset_and_an_attribute_more(self):
        path = self.checkpoint()

        def change(file):
            file.create_dataset("own/extra", data=[1, 2])
            file["integers"].attrs["extra"] = 3
            del file["scalars"].attrs["seconds"]

        text = self.difference(path, self.changed(path, change))
        self.assertIn("attribute /integers extra: (none) -> 3\n", text)
        self.assertRegex(text, r"(?m)^attribute /scalars seconds: \S+ -> \(none\)$")
        self.assertIn("dataset /own/extra: only in the second\n", text)
        self.assertIn("extra", self.difference(self.changed(path, change), path, "--ignore", "seconds"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
