#!/usr/bin/env python3
"""Checks the tracked files against the rules of the design: layer order, budgets, links.

usage: sources.py layers|budgets|links       prints every problem as file:line: problem; exit code 1 if there is one
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A folder may include these; comm (2') knows no mathematics, so it is no neighbour of learn, policies and tasks.
ALLOWED = {
    "base": {"base"},
    "core": {"base", "core"},
    "comm": {"base", "core", "comm"},
    "learn": {"base", "core", "learn", "policies", "tasks"},
    "policies": {"base", "core", "learn", "policies", "tasks"},
    "tasks": {"base", "core", "learn", "policies", "tasks"},
    "run": {"base", "core", "comm", "learn", "policies", "tasks", "run"},
    "apps": {"base", "core", "comm", "learn", "policies", "tasks", "run", "apps"},
}
# Names of the outside world, and the only files of the product that may say them, in comments too.
OUTSIDE = [
    (re.compile(r"\bMPI_\w+|<mpi\.h>"), re.compile(r"^(src|include/tightrope)/(base/mpi|comm/)|^src/base/hdf5"), "MPI"),
    (re.compile(r"\bnccl[A-Z]\w*|<nccl\.h>|\bcuda[A-Z]\w*"), re.compile(r"^(src|include/tightrope)/comm/"), "NCCL"),
    (re.compile(r"\bH5[A-Z]+\w*\(|\bH5[A-Z]_\w+|<hdf5\.h>"), re.compile(r"^(src|include/tightrope)/base/hdf5"), "HDF5"),
]
# Layers 1 and 2 run on any device, but for packing and the kernels written for the CPU.
DEVICE = re.compile(r"\bkCPU\b|\bdata_ptr\b")
DEVICE_FREE = ("core", "learn", "policies", "tasks")
DEVICE_ALLOWED = re.compile(r"core/batch_pack\.cpp$|_cpu\.(cpp|hpp)$|tasks/environment_\w+\.cpp$")

FILE_LINES, FUNCTION_LINES, LINE_COLUMNS = 300, 60, 120
SOURCES = ("*.cpp", "*.hpp")
TEXTS = SOURCES + ("*.py", "*.sh", "*.cmake", "*CMakeLists.txt", "*.ini", "*.sbatch", ".ci/run", "apps/*")


def tracked(*patterns):
    """Tracked files, and new ones that git does not ignore, so that a commit is checked before it is made."""
    listing = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
                             cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted({name for name in listing.splitlines() if (ROOT / name).is_file()})


def lines_of(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines()


def code(line):
    """Without comments and string literals, which may name anything."""
    return re.sub(r'"(\\.|[^"\\])*"', '""', line).split("//")[0]


def outside(name):
    if not re.match(r"src/|include/|apps/|bench/", name):
        return
    for number, line in enumerate(lines_of(name), 1):
        for pattern, allowed, what in OUTSIDE:
            if pattern.search(line) and not allowed.match(name):
                yield f"{name}:{number}: names {what} (only its own wrapper may) use the wrapper"


def layer(name):
    found = re.match(r"(?:src|include/tightrope)/(\w+)/|(apps)/", name)
    return (found.group(1) or found.group(2)) if found else None


def layers():
    for name in tracked(*SOURCES):
        yield from outside(name)
        mine = layer(name)
        if mine is None:
            continue
        if mine not in ALLOWED:
            yield f"{name}:1: the folder {mine} has no layer (DESIGN) add it to tests/checks/sources.py"
            continue
        for number, line in enumerate(lines_of(name), 1):
            include = re.match(r'\s*#\s*include\s+"(?:tightrope|\.\.)/(\w+)/', line)
            if include and include.group(1) not in ALLOWED[mine]:
                yield f"{name}:{number}: {mine} includes {include.group(1)} (a higher layer) turn the dependency round"
            text = code(line)
            if mine in DEVICE_FREE and DEVICE.search(text) and not DEVICE_ALLOWED.search(name):
                yield f"{name}:{number}: names kCPU or data_ptr (layers 1, 2 run on any device) use tensor operations"


def budgets():
    for name in tracked(*TEXTS):
        lines = lines_of(name)
        if len(lines) > FILE_LINES:
            yield f"{name}:{len(lines)}: {len(lines)} lines (at most {FILE_LINES}) split it by idea"
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_COLUMNS:
                yield f"{name}:{number}: {len(line)} columns (at most {LINE_COLUMNS}) break the line"
    for name in tracked(*SOURCES):
        yield from long_functions(name, lines_of(name))


def long_functions(name, lines):
    """Relies on the formatting check: a body ends with a brace at the indentation of the line that begins it."""
    opening = None
    for number, line in enumerate(lines, 1):
        indent = len(line) - len(line.lstrip())
        if opening is None and indent in (0, 2) and re.search(r"\)[^;]*\{$", line) and "= {" not in line:
            opening = (indent, number)
        elif opening and indent == opening[0] and line.lstrip().startswith("}"):
            if number - opening[1] + 1 > FUNCTION_LINES:
                yield (f"{name}:{opening[1]}: a function of {number - opening[1] + 1} lines (at most {FUNCTION_LINES}) "
                       "make it several")
            opening = None


def links():
    for name in tracked("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md"):
        for number, line in enumerate(lines_of(name), 1):
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                path = target.split("#")[0]
                if re.match(r"\w+:", target) or not path:
                    continue
                if not ((ROOT / name).parent / path).exists():
                    yield f"{name}:{number}: the link {target} leads nowhere (no such file) correct it"


def main(arguments):
    checks = {"layers": layers, "budgets": budgets, "links": links}
    if len(arguments) != 1 or arguments[0] not in checks:
        print(__doc__)
        return 2
    problems = list(checks[arguments[0]]())
    for problem in problems:
        print(problem)
    print(f"{arguments[0]}: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
