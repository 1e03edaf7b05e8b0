#!/usr/bin/env python3
"""The last line of the test run must be true: summary.py on reports made up here."""
import contextlib
import io
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import summary  # noqa: E402

REPORT = """<testsuite>
<testcase name="unit" status="run"><system-out>
[       OK ] Deck.Reads (3 ms)
[ RUN      ] Deck.Device
deck_test.cpp:9: Skipped
no device
[  SKIPPED ] Deck.Device (0 ms)
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Deck.Device
</system-out></testcase>
<testcase name="mpi" status="fail"><system-out>
[   ok   ] Lane.Wraps (3 ms)
[   ok   ] Lane.Counts (3 ms)
[  FAILED  ] Lane.Wraps (3 ms)
[  FAILED  ] Lane.Wraps
</system-out></testcase>
<testcase name="crash" status="fail"><system-out>[       OK ] Index.Draws (1 ms)
Segmentation fault</system-out></testcase>
<testcase name="mutant_found" status="run"><system-out>[  FAILED  ] Sum.IsRight (3 ms)</system-out></testcase>
<testcase name="mutant_lives" status="fail"><system-out>[       OK ] Sum.IsRight (3 ms)</system-out></testcase>
<testcase name="script" status="run"><system-out>all well</system-out></testcase>
<testcase name="slurm" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>
<system-out>skipped: not root</system-out></testcase>
</testsuite>
"""

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "release"
    path.mkdir()
    (path / "tests.xml").write_text(REPORT)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = summary.main(["--broken", "tsan", str(path / "tests.xml")])
text = said.getvalue()
expected = [
    "!! SKIPPED release/unit Deck.Device: no device",
    "!! SKIPPED release/slurm: not root",
    "!! FAILED  tsan (did not build or start)",
    "!! FAILED  release/mpi Lane.Wraps",
    "!! FAILED  release/crash",
    "!! FAILED  release/mutant_lives",
]
missing = [line for line in expected if line not in text.splitlines()]
if code != 1 or missing or text.splitlines()[-1] != "5 passed, 4 failed, 2 skipped":
    print(f"exit code {code}, missing {missing}, said:\n{text}")
    sys.exit(1)
print("summary.py counts right")
