"""Runs the program under mpirun in a temporary folder and reads what it leaves.  Python with h5py from Debian.

Environment: TIGHTROPE (the executable), MPIEXEC, TIGHTROPE_SOURCE (for inputs/) and the MPI settings of
tests/CMakeLists.txt.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy

PROGRAM = os.environ["TIGHTROPE"]
MPIEXEC = os.environ.get("MPIEXEC", "mpirun")
INPUTS = pathlib.Path(os.environ["TIGHTROPE_SOURCE"]) / "inputs"
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"  # to read metrics.h5 while it grows


class Job:
    """One run, started; ends with its whole process group."""

    def __init__(self, words, np, cwd, env=None, launcher=(), program=PROGRAM):
        command = [*launcher, MPIEXEC, "-n", str(np), program, *map(str, words)]
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=self.out,
                                        stderr=self.err, stdin=subprocess.DEVNULL, start_new_session=True)

    def wait(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"no end after {seconds} s\n{self.text(self.out)}{self.text(self.err)}") from None
        seconds = time.monotonic() - self.started
        return Result(self.process.returncode, self.text(self.out), self.text(self.err), seconds)

    def stop(self):
        """Ends what is left of the job: the launcher and, by their ids, its ranks."""
        for rank in self.ranks().values():
            try:
                os.kill(rank, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def close(self):
        self.stop()
        self.out.close()
        self.err.close()

    def ranks(self):
        """Process id by rank, of the launcher's children that run the program."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent != self.process.pid:
                    continue
                environment = dict(word.split("=", 1) for word in (entry / "environ").read_text().split("\0")
                                   if "=" in word)
            except (OSError, UnicodeDecodeError):
                continue  # it has ended meanwhile
            if "OMPI_COMM_WORLD_RANK" in environment:
                found[int(environment["OMPI_COMM_WORLD_RANK"])] = int(entry.name)
        return found

    @staticmethod
    def text(stream):
        stream.seek(0)
        return stream.read().decode(errors="replace")


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def __str__(self):
        return f"exit code {self.code}\n{self.out}{self.err}"


class ProgramTest(unittest.TestCase):
    """A test with a folder of its own; decks and runs live there."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tightrope-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, *words, np=1, env=None, launcher=()):
        job = Job(words, np, self.folder, env, launcher)
        self.addCleanup(job.close)
        return job

    def run_program(self, *words, np=1, seconds=60, env=None, launcher=()):
        return self.start(*words, np=np, env=env, launcher=launcher).wait(seconds)

    def succeed(self, *words, **options):
        result = self.run_program(*words, **options)
        self.assertEqual(result.code, 0, result)
        return result

    def deck(self, text, name="deck.ini"):
        (self.folder / name).write_text(text)
        return name

    def files(self):
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def wait_for(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        return self.fail(f"{what}: not within {seconds} s")


def smoke(name):
    return INPUTS / "smoke" / f"{name}.ini"


def columns(metrics, group, *names):
    """Columns of a metrics.h5 that may be growing: cut to the shortest.  None while it cannot be read."""
    try:
        with h5py.File(metrics, "r") as file:
            values = [file[f"{group}/{name}"][:] for name in names]
    except (OSError, KeyError, RuntimeError):
        return None
    rows = min(len(value) for value in values)
    return [value[:rows] for value in values]


def content(checkpoint):
    """Every dataset, and every attribute that belongs to the state of the run, by path, as bytes."""
    found = {}
    skipped = {"build", "deck", "seconds", "row_seconds"}  # of the program, of the folder, of the clock

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[:].tobytes()
        for key, value in item.attrs.items():
            if key not in skipped:
                found[f"{name}@{key}"] = numpy.asarray(value).tobytes()

    with h5py.File(checkpoint, "r") as file:
        file.visititems(visit)
        found["@step"] = int(file.attrs["step"])
    return found
