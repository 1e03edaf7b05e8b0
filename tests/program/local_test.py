"""jobs/local.sh: goes on after a stop that leaves the run unfinished, and not after one that its user asked for."""
import os
import pathlib
import signal
import subprocess
import unittest

from harness import PROGRAM, ProgramTest, smoke

SCRIPT = pathlib.Path(os.environ["TIGHTROPE_SOURCE"]) / "jobs" / "local.sh"


class Local(ProgramTest):
    def begin(self, *words):
        """An endless run; returns when it has started."""
        self.log = open(self.folder / "log", "w")
        self.addCleanup(self.log.close)
        command = [SCRIPT, "2", smoke("hypergrid"), "--trainer.steps=1000000", "--evaluation.every=0",
                   f"--run.folder={self.folder}", "--run.name=run", *words]
        self.script = subprocess.Popen(command, env={**os.environ, "TIGHTROPE": PROGRAM}, stdin=subprocess.DEVNULL,
                                       stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)
        self.addCleanup(self.end)
        self.wait_for(lambda: self.said("run ") == 1, 60, "the start of the run")

    def end(self):
        for rank in self.ranks():
            os.kill(rank, signal.SIGKILL)
        if self.script.poll() is None:
            self.script.kill()
        self.script.wait()

    def said(self, start):
        return sum(line.startswith(start) for line in (self.folder / "log").read_text().splitlines())

    def ranks(self):
        """Process ids of this run's ranks."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.folder) in (entry / "cmdline").read_text() and \
                        os.readlink(entry / "exe") == os.path.realpath(PROGRAM):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def test_goes_on_until_the_run_is_done(self):
        self.begin()
        os.kill(self.ranks()[0], signal.SIGUSR1)  # as a batch system would
        self.wait_for(lambda: self.said("restarted at step") == 1, 60, "a restart")
        self.wait_for(lambda: self.said("run ") == 2, 60, "the run")
        (self.folder / "run" / "STOP").touch()
        self.assertEqual(self.script.wait(60), 0, (self.folder / "log").read_text())
        self.assertEqual(self.said("== not finished"), 1)

    def test_ends_where_another_start_would_get_no_further(self):
        self.begin("--run.wall_time=1s")
        self.assertEqual(self.script.wait(60), 1, (self.folder / "log").read_text())
        self.assertEqual(self.said("run.wall_time is over before the first update"), 1)
        self.assertEqual(self.said("== not finished"), 0)

    def test_ctrl_c_leaves_a_checkpoint(self):
        self.begin()
        os.kill(self.script.pid, signal.SIGINT)
        self.assertEqual(self.script.wait(60), 75, (self.folder / "log").read_text())
        self.assertTrue((self.folder / "run" / "LATEST").exists())
        self.assertEqual(self.said("== not finished"), 0)


if __name__ == "__main__":
    unittest.main()
