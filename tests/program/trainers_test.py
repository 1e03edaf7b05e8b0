"""Several trainers: overlap, sharding and the transport change nothing, one trainer is two, memory is what was said."""
import os
import pathlib
import re
import time
import unittest

import h5py
import numpy

from harness import Job, ProgramTest, columns, smoke
from text_test import DECK, MODEL

NCCL = os.environ.get("TIGHTROPE_NCCL")  # the program with NCCL, where there is one; runs over a stand-in


class Trainers(ProgramTest):
    def train(self, name, trainers, *words, nccl=False, steps=4, env=None):
        """A lockstep run in which every rank is a trainer and a searcher; the arrays of its last checkpoint."""
        result = self.run_trainers(smoke("lockstep"), f"--run.name={name}", f"--world.trainers={trainers}",
                                   f"--trainer.steps={steps}", "--collective.bucket=32KiB", "--evaluation.every=0",
                                   "--trainer.clip=0.5", *words, np=trainers, nccl=nccl, env=env)
        self.assertEqual(result.code, 0, result)
        with h5py.File(self.folder / "runs" / name / f"checkpoint-{steps}.h5", "r") as file:
            return {array: file[f"parameters/policy/{array}"][:] for array in file["parameters/policy"]}

    def run_trainers(self, *words, np, nccl=False, env=None):
        if not nccl:
            return self.run_program(*words, np=np, env=env)
        job = Job([*words, "--collective.kind=nccl"], np, self.folder,
                  {"LD_PRELOAD": os.environ["STANDIN"], **(env or {})}, program=NCCL)
        self.addCleanup(job.close)
        return job.wait(60)

    def assert_same_bytes(self, a, b):
        self.assertEqual(sorted(a), ["adam_first", "adam_second", "weights"])
        self.assertEqual([name for name in a if a[name].tobytes() != b[name].tobytes()], [])

    def assert_close(self, a, b, tolerance):
        for name in a:
            distance = abs(a[name] - b[name]).max() / abs(a[name]).max()
            self.assertLess(distance, tolerance, name)

    def test_overlap_changes_no_bit(self):
        for trainers in (2, 4):
            with self.subTest(trainers=trainers):
                self.assert_same_bytes(self.train(f"with{trainers}", trainers, steps=20),
                                       self.train(f"without{trainers}", trainers, "--collective.overlap=no", steps=20))

    def test_sharded_moments_are_the_same_moments(self):
        for trainers in (1, 2, 4):
            with self.subTest(trainers=trainers):
                whole = self.train(f"whole{trainers}", trainers)
                sharded = self.train(f"sharded{trainers}", trainers, "--trainer.shard=optimizer")
                self.assertGreater(abs(whole["adam_second"]).max(), 0)
                if trainers <= 2:
                    self.assert_same_bytes(whole, sharded)
                self.assert_close(whole, sharded, 1e-6)

    def test_a_sharded_run_goes_on_whole_and_back(self):
        words = ("--checkpoint.every=10", "--checkpoint.keep=9")
        whole = self.train("whole", 2, *words, steps=20)
        self.train("sharded", 2, *words, "--trainer.shard=optimizer", steps=20)
        for name, before, shard in (("on", "sharded", "none"), ("back", "whole", "optimizer")):
            went_on = self.train(name, 2, *words, f"--trainer.shard={shard}",
                                 f"--run.restart=runs/{before}/checkpoint-10.h5", steps=20)
            self.assert_same_bytes(whole, went_on)

    def test_gradients_in_bfloat16(self):
        exact = self.train("float32", 2)
        for shard in ("none", "optimizer"):
            with self.subTest(shard=shard):
                rounded = self.train(shard, 2, "--collective.precision=bfloat16", f"--trainer.shard={shard}")
                self.assertNotEqual(rounded["weights"].tobytes(), exact["weights"].tobytes())
                self.assert_close(exact, rounded, 0.02)

    @unittest.skipUnless(NCCL, "no CUDA toolkit with NCCL")
    def test_nccl_gives_what_mpi_gives(self):
        for trainers in (1, 2, 4):
            with self.subTest(trainers=trainers):
                mpi = self.train(f"mpi{trainers}", trainers)
                nccl = self.train(f"nccl{trainers}", trainers, nccl=True)
                self.assert_close(mpi, nccl, 1e-6)
                blocking = self.train(f"blocking{trainers}", trainers, "--collective.overlap=no", nccl=True)
                self.assert_same_bytes(nccl, blocking)
                sharded = self.train(f"sharded{trainers}", trainers, "--trainer.shard=optimizer", nccl=True)
                self.assert_same_bytes(nccl, sharded)

    @unittest.skipUnless(NCCL, "no CUDA toolkit with NCCL")
    def test_an_error_of_nccl_ends_the_run(self):
        result = self.run_trainers(smoke("lockstep"), "--world.trainers=2", "--trainer.steps=1000",
                                   "--collective.bucket=32KiB", np=2, nccl=True, env={"STANDIN_FAIL_AFTER": "60"})
        self.assertNotEqual(result.code, 0, result)
        self.assertRegex(result.err, r"(?m)^rank \d on host \S+ at step \d+: a sum by NCCL failed \(.+\) run again")

    def refuse(self, *words, np=2, **options):
        result = self.run_trainers(smoke("lockstep"), *words, np=np, **options)
        self.assertEqual(result.code, 2, result)
        return result.err

    def test_devices_that_cannot_be(self):
        self.assertIn("world.device = cuda is not in this program (it was built without CUDA and NCCL) set auto, or "
                      "build with cmake --preset cuda", self.refuse("--world.device=cuda"))
        self.assertIn("collective.kind = nccl does not work with world.device = cpu",
                      self.refuse("--world.device=cpu", "--collective.kind=nccl"))
        self.assertIn("collective.kind = nccl is not in this program (it was built without CUDA and NCCL) set auto",
                      self.refuse("--collective.kind=nccl"))

    @unittest.skipUnless(NCCL, "no CUDA toolkit with NCCL")
    def test_gpus_that_are_too_few(self):
        two = "--world.trainers=2"
        for gpus, said in (("0", "nccl needs a GPU per trainer"), ("shared", "two trainers are on one GPU")):
            with self.subTest(gpus=gpus):
                self.assertIn(said, self.refuse(two, nccl=True, env={"STANDIN_GPUS": gpus}))
        # The stand-in is no GPU to LibTorch, whether or not this one has a part for them.
        self.assertRegex(self.refuse("--world.device=cuda", nccl=True), r"this LibTorch cannot compute on GPUs "
                         r"\(.+\) set LIBTORCH_ROOT|GPU 0 does not work with this LibTorch \(")
        self.assertIn("more trainers than GPUs on a node",
                      self.refuse("--world.trainers=3", np=3, nccl=True, env={"STANDIN_GPUS": "2"}))

    def test_two_trainers_are_one(self):
        """Every update takes K completions of every question, so one trainer and two draw the same groups."""
        (self.folder / "four.jsonl").write_text("".join(
            f'{{"prompt": "sort {a} {b} 5", "answer": "{a} {b} 5"}}\n' for a, b in ((1, 2), (3, 4), (7, 8), (6, 9))))
        deck = self.deck(DECK.format(model=MODEL))
        losses, weights = [], []
        for trainers in (1, 2):
            name = f"trainers{trainers}"
            self.succeed(deck, "--data.generator=none", "--data.train=four.jsonl", "--data.heldout_questions=0",
                         "--data.shots=0", "--run.mode=lockstep", "--replay.recent_fraction=1",
                         "--replay.recent_window=0", "--evaluation.every=0", "--run.interval=1",
                         "--collective.bucket=64KiB", f"--world.trainers={trainers}", f"--run.name={name}",
                         np=trainers + 1)
            run = self.folder / "runs" / name
            losses.append(columns(run / "metrics.h5", "training", "loss")[0])
            with h5py.File(run / "checkpoint-20.h5", "r") as file:
                weights.append(file["parameters/policy/weights"][:])
        self.assertEqual(len(losses[0]), 20)
        numpy.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
        numpy.testing.assert_allclose(weights[1], weights[0], atol=1e-4 * abs(weights[0]).max())

    def memory(self, name, hidden, *words):
        """Bytes that --check says a trainer takes, and the private memory of a trainer while it trains."""
        words = (smoke("tokens"), "--world.trainers=2", f"--tokens.hidden={hidden}", "--tokens.layers=2",
                 "--collective.bucket=4MiB", "--trainer.batch=32", "--evaluation.every=0", "--run.interval=1",
                 f"--run.name={name}", *words)
        said, unit = re.search(r"training memory +([\d.]+) ([KMG])iB per trainer",
                               self.succeed(*words, "--check", np=3).out).groups()
        job = self.start(*words, np=3)
        metrics = self.folder / "runs" / name / "metrics.h5"
        self.wait_for(lambda: len((columns(metrics, "training", "step") or [()])[0]) >= 3, 250, "three updates")
        pages = []
        for _ in range(20):
            status = pathlib.Path(f"/proc/{job.ranks()[1]}/status").read_text()
            pages.append(int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) / 1024)
            time.sleep(0.02)
        job.stop()
        return float(said) * {"K": 1 / 1024, "M": 1, "G": 1024}[unit], float(numpy.median(pages))

    def test_memory_is_what_was_said(self):
        for name, words in (("whole", ()), ("sharded", ("--trainer.shard=optimizer",))):
            with self.subTest(name=name):
                small, large = (self.memory(f"{name}{hidden}", hidden, *words) for hidden in (256, 1024))
                said, found = large[0] - small[0], large[1] - small[1]
                print(f"{name}: {said:.1f} MiB said, {found:.1f} MiB found", flush=True)
                self.assertGreater(said, 150)
                self.assertLess(abs(found / said - 1), 0.05)


if __name__ == "__main__":
    unittest.main(verbosity=2)
