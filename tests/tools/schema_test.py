"""docs/hdf5.md lists what is in a checkpoint, no less and no more: its two tables against files of the program.

Environment: as tests/program/harness.py.
"""
import os
import pathlib
import re
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
import h5py  # noqa: E402
import numpy as np  # noqa: E402
from harness import ProgramTest, smoke  # noqa: E402

SOURCE = pathlib.Path(os.environ["TIGHTROPE_SOURCE"])
PAGE = (SOURCE / "docs/hdf5.md").read_text()
OLD = SOURCE / "tests/fixtures/checkpoints/version-1.h5"
OF_DATASETS = {"unit", "help", "slabs", "xxh3"}  # described above the tables
RUNS = {"lockstep": ("lockstep", "--world.trainers=2", "--trainer.steps=40"), "async": ("hypergrid",),
        "tokens": ("tokens", "--trainer.steps=20")}


def rows(heading):
    """The cells of the table with this heading, without their quotes."""
    table = re.search(re.escape(heading) + r"\n\|[-|]+\n((?:\|.*\n)+)", PAGE).group(1)
    return [[cell.strip().strip("`") for cell in line.strip("|\n").split("|")] for line in table.splitlines()]


ATTRIBUTES = rows("| attribute of | name | type | meaning |")
DATASETS = rows("| dataset | type | unit | meaning |")


def matches(pattern, name):
    """<set> and <name> stand for any one name."""
    return re.fullmatch(re.sub(r"<\w+>", r"[^/]+", pattern), name) is not None


def type_of(value):
    return "text" if isinstance(value, str) else "real" if np.issubdtype(type(value), np.floating) else "integer"


def content(path):
    """({(group, name): type} of attributes, {path: (type, unit)} of datasets)"""
    attributes, datasets = {}, {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            datasets[item.name] = (str(item.dtype), item.attrs["unit"])
            found = set(item.attrs)
            assert found == OF_DATASETS, f"{item.name} has the attributes {found}"
            assert len(item.shape) == 1 and item.chunks is None and sum(item.attrs["slabs"]) == len(item), item.name
        else:
            attributes.update({(item.name, key): type_of(value) for key, value in item.attrs.items()})

    with h5py.File(path, "r") as file:
        visit("/", file)
        file.visititems(visit)
    return attributes, datasets


class Schema(ProgramTest):
    def files(self):
        found = []
        for name, (deck, *words) in RUNS.items():
            self.succeed(smoke(deck), *words, f"--run.name={name}", np=2)
            found += (self.folder / "runs" / name).glob("checkpoint-*.h5")
        return found

    def test_the_page_and_the_files_agree(self):
        attributes, datasets = {}, {}
        for path in self.files():
            more = content(path)
            attributes.update(more[0])
            datasets.update(more[1])
        for (group, name), kind in attributes.items():
            self.assertEqual([row[2] for row in ATTRIBUTES if matches(row[0], group) and matches(row[1], name)], [kind],
                             f"attribute {name} of {group}")
        for name, (kind, unit) in datasets.items():
            self.assertEqual([row[1:3] for row in DATASETS if matches(row[0], name)], [[kind, unit]], name)
        for row in ATTRIBUTES:
            self.assertTrue(any(matches(row[0], group) and matches(row[1], name) for group, name in attributes), row)
        for row in DATASETS:
            self.assertTrue(any(matches(row[0], name) for name in datasets) or row[0] == "/own/<name>", row)

    def test_old_files_hold_nothing_that_the_page_forgot(self):
        attributes, datasets = content(OLD)
        for group, name in attributes:
            self.assertTrue(any(matches(row[0], group) and matches(row[1], name) for row in ATTRIBUTES), (group, name))
        for name in datasets:
            self.assertTrue(any(matches(row[0], name) for row in DATASETS), name)

    def test_a_record_begins_as_the_page_says(self):
        for path in (OLD, *self.files()):
            with h5py.File(path, "r") as file:
                data = file["store/records"][:].tobytes()
                index = {name: column[:] for name, column in file["index"].items()}
                first = 0
                for i, size in enumerate(file["store/record_bytes"][:]):
                    query, id_, version, _, _, content_, log_reward, length, finish = struct.unpack_from(
                        "<5qQd2i", data, first)
                    self.assertEqual([query, id_, version, content_, log_reward, length],
                                     [index[name][i] for name in ("query", "id", "version", "content", "log_reward",
                                                                  "length")])
                    self.assertIn(finish, (0, 1))
                    first += size
                self.assertEqual(first, len(data))


if __name__ == "__main__":
    unittest.main(verbosity=2)
