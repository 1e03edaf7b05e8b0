"""The list of what we use of CUDA and NCCL is complete, the stand-in has just that, the real libraries have it too.

usage: symbols.py LIST STANDIN LIBNCCL LIBCUDART OBJECT...
"""
import pathlib
import re
import subprocess
import sys


def names(file, kinds, *flags):
    """Symbols of CUDA and NCCL of these kinds (letters of nm)."""
    lines = subprocess.run(["nm", *flags, file], check=True, capture_output=True, text=True).stdout.splitlines()
    found = (re.search(rf" ([{kinds}]) ((?:cuda|nccl)[A-Z]\w*)(?:@|$)", line) for line in lines)
    return {match.group(2) for match in found if match}


def main(listed, standin, nccl, cudart, *objects):
    wanted = set(pathlib.Path(listed).read_text().split())
    used = set().union(*(names(file, "U") for file in objects))
    real = names(nccl, "TW", "-D") | names(cudart, "TW", "-D")
    problems = {"used but not listed": used - wanted, "listed but not used": wanted - used,
                "not in the stand-in": wanted - names(standin, "T", "-D"),
                "in the stand-in for nothing": names(standin, "T", "-D") - wanted,
                "not in the real libraries": wanted - real}
    for what, which in problems.items():
        if which:
            print(f"{what}: {', '.join(sorted(which))}")
    print(f"{len(wanted)} symbols of CUDA and NCCL")
    return any(problems.values())


sys.exit(main(*";".join(sys.argv[1:]).split(";")))
