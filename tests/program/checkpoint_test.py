"""Checkpoints of the program: where they go, which stay, what a disk that cannot take one does."""
import os
import shutil
import subprocess
import unittest

import h5py

from harness import ProgramTest, columns, smoke
from stores import Checkpoint


class Checkpoints(ProgramTest):
    def steps(self, folder):
        return sorted(int(path.stem.split("-")[1]) for path in folder.glob("checkpoint-*.h5"))

    def test_what_is_kept(self):
        self.succeed(smoke("hypergrid"), "--run.name=run", "--checkpoint.every=10", "--checkpoint.keep=2",
                     "--checkpoint.keep_every=100", "--trainer.steps=250", np=2)
        self.assertEqual(self.steps(self.folder / "runs/run"), [100, 200, 240, 250])
        self.succeed(smoke("hypergrid"), "--run.name=run", "--checkpoint.every=7", "--checkpoint.keep=1",
                     "--checkpoint.keep_every=100", "--run.restart=auto", np=2)
        self.assertEqual(self.steps(self.folder / "runs/run"), [100, 200, 300])

    def test_by_time(self):
        job = self.start(smoke("hypergrid"), "--run.name=run", "--trainer.steps=1e9", "--checkpoint.minutes=0.02",
                         "--checkpoint.keep=9", np=2)
        run = self.folder / "runs" / "run"
        self.wait_for(lambda: len(self.steps(run)) >= 3, 60, "three checkpoints")
        (run / "STOP").touch()
        self.assertEqual(job.wait(60).code, 0)

    def test_they_are_written_behind_training_and_counted(self):
        result = self.succeed(smoke("hypergrid"), "--run.name=run", "--checkpoint.every=60", np=4)
        self.assertRegex(result.out, r"(?m)^checkpoints: 5, the last of [\d.]+ [KM]iB, written at [\d.]+ \w+/s; "
                                     r"training stood still for [\d.e-]+ s$")
        stall, bandwidth = columns(self.folder / "runs/run/metrics.h5", "training", "seconds_checkpoint",
                                   "checkpoint_bandwidth")
        self.assertGreater(stall.sum(), 0)
        self.assertTrue((bandwidth[bandwidth == bandwidth] > 0).all() and (bandwidth == bandwidth).any(), bandwidth)

    def test_they_are_written_in_front_of_training_where_MPI_serves_one_thread(self):
        result = self.succeed(smoke("hypergrid"), "--run.name=run", "--checkpoint.every=60", "--world.trainers=2", np=4,
                              env={"LD_PRELOAD": os.environ["SERIALIZED"]})
        self.assertIn("thread level: serialized", result.out)
        self.assertIn("checkpoints: 5, ", result.out)
        self.assertIn("restarted at step 300\n",
                      self.succeed(smoke("hypergrid"), "--run.name=run", "--run.restart=auto", "--trainer.steps=310",
                                   np=2).out)

    def test_a_folder_of_their_own_and_a_local_level(self):
        words = (smoke("hypergrid"), "--run.name=run", "--checkpoint.every=100", "--checkpoint.keep=9",
                 "--checkpoint.folder=far", "--checkpoint.local=near")
        self.succeed(*words, np=4)
        far, near = self.folder / "far/run", next((self.folder / "near").glob("run-*"))
        self.assertEqual(self.steps(self.folder / "runs/run"), [])
        self.assertEqual(self.steps(far), [100, 200, 300])
        self.assertEqual(self.steps(near), [300])
        self.assertEqual((far / "LATEST").read_text(), "checkpoint-300.h5\n")
        self.assertEqual((far / "checkpoint-300.h5").read_bytes(), (near / "checkpoint-300.h5").read_bytes())
        # Killed before the newest was copied; then the node is gone.
        (far / "checkpoint-300.h5").unlink()
        os.utime(far / "LATEST", (0, 0))
        (far / "LATEST").write_text("checkpoint-200.h5\n")
        os.utime(far / "LATEST", (0, 0))
        self.assertIn("restarted at step 300\n", self.succeed(*words, "--run.restart=auto", np=4).out)
        self.assertEqual(self.steps(far), [100, 200, 300])
        shutil.rmtree(self.folder / "near")
        self.assertIn("restarted at step 300\n", self.succeed(*words, "--run.restart=auto", np=4).out)

    def test_a_folder_that_goes_away_ends_the_run_with_a_sentence(self):
        job = self.start(smoke("hypergrid"), "--run.name=run", "--trainer.steps=1e9", "--checkpoint.every=50",
                         "--checkpoint.folder=far", np=4)
        far = self.folder / "far" / "run"
        self.wait_for(lambda: (far / "LATEST").exists(), 60, "a checkpoint")
        shutil.move(far, self.folder / "kept")
        result = job.wait(60)
        self.assertNotIn(result.code, (0, 75), result)
        self.assertRegex(result.err, r"(?m)^rank 0 on host \S+ at step \d+: cannot \w+ '?.*far/run.* \(.+\) ")
        self.assertEqual(Checkpoint(self.folder / "kept" / (self.folder / "kept/LATEST").read_text().strip())
                         .problems(1), [])

    def test_a_folder_that_cannot_be(self):
        (self.folder / "file").write_text("no folder\n")
        for key in ("folder", "local"):
            result = self.run_program(smoke("hypergrid"), f"--checkpoint.{key}=file/below", np=2)
            self.assertNotEqual(result.code, 0, result)
            self.assertRegex(result.err, rf"cannot make the folder file/below/\S+ \(.+\) check the permissions, or "
                                         rf"choose another with checkpoint.{key}")

    def test_a_full_disk(self):
        if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
            self.skipTest("SKIPPED: a small tmpfs needs root and a mount namespace of its own")
        words = (smoke("hypergrid"), "--run.name=run", "--checkpoint.every=50", "--policy.width=256",
                 "--replay.capacity=200")  # so that all files have about one size
        self.succeed(*words, "--run.folder=free", "--checkpoint.keep=1", np=2)
        size = (self.folder / "free/run/checkpoint-300.h5").stat().st_size
        (self.folder / "runs").mkdir()
        room = 2 * size + 300000
        script = f'mount -t tmpfs -o size={room} tmpfs runs; "$@"; code=$?; cp -r runs kept; exit $code'
        for np, trainers in ((2, 1), (4, 2)):
            with self.subTest(np=np):
                shutil.rmtree(self.folder / "kept", ignore_errors=True)
                result = self.run_program(*words, "--checkpoint.keep=9", f"--world.trainers={trainers}", np=np,
                                          launcher=("unshare", "-m", "sh", "-c", script, "sh"))
                self.assertNotIn(result.code, (0, 75), result)
                self.assertRegex(result.err, r"(?m)^rank \d on host \S+ at step \d+: cannot \w+ .*'runs/run/.+' \(.+\) "
                                             r"check that the disk has room and that the folder is writable$")
                kept = self.folder / "kept/run"
                newest = Checkpoint(kept / (kept / "LATEST").read_text().strip())
                self.assertEqual(newest.problems(1), [])
                said = self.succeed(*words, "--run.folder=kept", "--run.restart=auto", np=2).out
                self.assertIn(f"restarted at step {newest.step}\n", said)

    def test_a_truncated_file_is_passed_over(self):
        words = (smoke("hypergrid"), "--checkpoint.every=100", "--checkpoint.keep=9")
        self.succeed(*words, "--run.name=run", np=2)
        newest = self.folder / "runs/run/checkpoint-300.h5"
        for size in (newest.stat().st_size - 1, 5000, 0):
            whole = newest.read_bytes()
            newest.write_bytes(whole[:size])
            result = self.run_program(*words, f"--run.restart={newest}", "--run.name=other", np=2)
            self.assertNotEqual(result.code, 0, result)
            self.assertIn("checkpoint-300.h5", result.err)
            result = self.succeed(*words, "--run.name=run", "--run.restart=auto", np=2)
            self.assertRegex(result.err, r"(?m)^checkpoint 'runs/run/checkpoint-300.h5' is skipped \(.+\)$")
            self.assertIn("restarted at step 200\n", result.out)
            with h5py.File(newest, "r") as file:
                self.assertEqual(file.attrs["step"], 300)


if __name__ == "__main__":
    unittest.main(verbosity=2)
