"""Progress lines where they are wanted, and metrics that can be read while the run goes on."""
import re
import unittest

from harness import ProgramTest, columns, smoke

NUMBER = r"-?[\d.]+(?:e[+-]?\d+)?"
LINE = re.compile(rf"^(\d+)/300 \[#*\.*\] sampled {NUMBER}k?/s trained {NUMBER}k?/s \| loss {NUMBER} log Z {NUMBER} "
                  rf"\(exact 3\.109\)(?: TV \d\.\d{{4}})?(?: modes \d+)? log R {NUMBER} "
                  rf"\| stale {NUMBER} reuse {NUMBER} fill \d+% \| idle S \d+% T \d+% \| left \d+:\d\d$")


class Progress(ProgramTest):
    def test_quiet_where_stdout_is_no_terminal(self):
        out = self.succeed(smoke("hypergrid"), np=2).out
        self.assertNotIn("sampled", out)
        self.assertIn("300 updates, 4800 trajectories, ", out)

    def test_one_line_per_interval_where_asked(self):
        for np in (1, 4):
            out = self.succeed(smoke("hypergrid"), "--run.progress=always", np=np).out
            lines = [line for line in out.splitlines() if "sampled" in line]
            self.assertEqual(len(lines), 6, out)
            for i, line in enumerate(lines):
                found = LINE.match(line)
                self.assertTrue(found, line)
                self.assertEqual(int(found[1]), 50 * (i + 1))
            self.assertIn("left 0:00", lines[-1])

    def test_build_and_settings_are_said_once(self):
        out = self.succeed(smoke("hypergrid"), "--trainer.steps=10", np=4).out
        for line in ("tightrope 0.", "Open MPI v", "HDF5 ", "1 trainers, 3 searchers, 1 threads per rank", "run runs/"):
            self.assertEqual(len(re.findall("(?m)^" + re.escape(line), out)), 1, (line, out))

    def test_metrics_grow_while_they_are_read(self):
        job = self.start(smoke("hypergrid"), "--trainer.steps=1e9", "--run.interval=20", np=2)
        metrics = self.folder / "runs" / "hypergrid" / "metrics.h5"
        seen = 0
        for _ in range(5):
            loss, step = self.wait_for(
                lambda least=seen: (read := columns(metrics, "training", "loss", "step")) and len(read[0]) > least and
                read, 20, "more rows")
            seen = len(loss)
            self.assertEqual(list(step), [20 * (i + 1) for i in range(seen)])
        self.assertIsNone(job.process.poll())


if __name__ == "__main__":
    unittest.main(verbosity=2)
