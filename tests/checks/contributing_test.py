"""The environment of CONTRIBUTING.md works as the page says: its blocks, put where the page says, build and train.

  contributing_test.py put SOURCE FOLDER     writes the named files of SOURCE, with the page's blocks in them, to FOLDER
  contributing_test.py run PROGRAM FOLDER    trains the page's deck with the program that was built from FOLDER
"""
import itertools
import math
import pathlib
import re
import subprocess
import sys
import tempfile

# What a block is put before, where its file exists already.
PLACE = {"include/tightrope/tasks/environments.hpp": "}  // namespace tightrope\n",
         "src/tasks/registry.cpp": "};\n\n}  // namespace\n"}


def blocks(page):
    """path -> code, for every block that is introduced by a line that ends with `path`: ."""
    return dict(re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", page, re.S))


def put(source, folder):
    found = blocks((source / "CONTRIBUTING.md").read_text())
    assert set(found) == {*PLACE, "src/tasks/bag.cpp", "inputs/bag.ini"}, sorted(found)
    for path, code in found.items():
        text = code
        if path in PLACE:
            old = (source / path).read_text()
            before, mark, after = old.rpartition(PLACE[path])
            assert mark, f"{path} has changed: tell this test where the block belongs"
            text = before + code + mark + after
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def brute_force(letters, size, bonus):
    """log Z over all multisets."""
    bags = itertools.combinations_with_replacement(range(letters), size)
    return math.log(sum(bonus if 2 * max(bag.count(a) for a in bag) >= size else 1 for bag in bags))


def run(program, folder):
    import h5py
    code = (folder / "src/tasks/bag.cpp").read_text()
    own = code[code.index("  void start("):code.index("  int64_t enumerable_states")].strip().splitlines()
    assert len(own) <= 20, f"the environment has {len(own)} lines of its own, the page says 20"
    with tempfile.TemporaryDirectory() as runs:
        subprocess.run([program, folder / "inputs/bag.ini", f"--run.folder={runs}"], check=True)
        with h5py.File(f"{runs}/bag/metrics.h5", locking=False) as file:
            exact = float(file["exact/log_z"][()].ravel()[0])
            tv, log_z = (float(file[f"evaluation/{name}"][-1]) for name in ("tv", "log_z"))
    expected = brute_force(4, 6, 20)
    print(f"log Z: by brute force {expected:.6f}, by the program {exact:.6f}, learned {log_z:.6f}; TV {tv:.4f}")
    assert abs(exact - expected) < 1e-6, "the environment builds other objects than it says"
    assert tv < 0.05 and abs(log_z - expected) < 0.05, "it does not learn"


if __name__ == "__main__":
    command, first, second = sys.argv[1:]
    {"put": put, "run": run}[command](pathlib.Path(first).resolve(), pathlib.Path(second).resolve())
