"""Text tasks from end to end on a random model of two layers: roles, lockstep, restart, bad input, what is left."""
import json
import os
import pathlib
import shutil
import struct
import unittest

import h5py
import numpy

from harness import ProgramTest, columns, content

MODEL = pathlib.Path(os.environ["TIGHTROPE_SOURCE"]) / "tests" / "fixtures" / "models" / "tiny_text"
DECK = """[task]
kind = text
[model]
path = {model}
[data]
generator = sort
questions = 40
heldout_questions = 8
shots = 1
[text]
max_new = 6
stop = 1
[objective]
kind = vargrad
group = 4
[searcher]
samples_per_query = 4
batch = 16
[trainer]
steps = 20
batch = 16
[replay]
bytes = 1MiB
lane_bytes = 16KiB
recent_fraction = 0.5
[evaluation]
every = 10
samples = 16
slices = 2
[checkpoint]
every = 10
keep = 5
[world]
threads = 1
[run]
interval = 5
"""


class Text(ProgramTest):
    def deck_file(self, model=MODEL):
        return self.deck(DECK.format(model=model))

    def checkpoint(self, name, step):
        return self.folder / "runs" / name / f"checkpoint-{step}.h5"

    def test_roles(self):
        deck = self.deck_file()
        for np, trainers in ((1, 1), (2, 1), (4, 1), (4, 2)):
            name = f"roles-{np}-{trainers}"
            self.succeed(deck, f"--run.name={name}", f"--world.trainers={trainers}", np=np)
            run = self.folder / "runs" / name
            step, loss, spread, unique, entropy = columns(run / "metrics.h5", "training", "step", "loss", "spread",
                                                          "unique", "sampled_entropy")
            self.assertEqual(list(step), [5, 10, 15, 20])
            self.assertTrue(numpy.isfinite(loss).all())
            self.assertTrue(((unique > 0) & (unique <= 1)).all())
            numpy.testing.assert_allclose(spread ** 2, loss, rtol=1e-5)  # VarGrad's loss is the squared distance
            at, accuracy, error = columns(run / "metrics.h5", "evaluation", "step", "sampled_accuracy",
                                          "sampled_accuracy_error")
            self.assertEqual(at[-1], 20)
            self.assertTrue(((accuracy >= 0) & (accuracy <= 1) & (error >= 0)).all())
            notes = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
            self.assertEqual({note["kind"] for note in notes}, {"newest", "highest", "lowest"})
            self.assertEqual(notes[-1]["step"], 20)
            self.assertIn("sort ", notes[-1]["text"])

    def test_lockstep_repeats_itself_at_one_and_two_threads(self):
        deck, words = self.deck_file(), ("--run.mode=lockstep", "--trainer.updates_per_phase=2")
        for threads in (1, 2):
            for turn in "ab":
                self.succeed(deck, *words, f"--run.name={turn}{threads}", f"--world.threads={threads}", np=2)
            self.assertEqual(content(self.checkpoint(f"a{threads}", 20)), content(self.checkpoint(f"b{threads}", 20)))

    def test_lockstep_restart_continues_the_curve(self):
        deck, words = self.deck_file(), ("--run.mode=lockstep", "--run.name=whole")
        self.succeed(deck, *words, np=2)
        whole = content(self.checkpoint("whole", 20))
        loss = columns(self.folder / "runs/whole/metrics.h5", "training", "loss")[0]
        self.checkpoint("whole", 20).unlink()
        (self.folder / "runs/whole/LATEST").write_text("checkpoint-10.h5\n")
        result = self.succeed(deck, *words, "--run.restart=auto", np=2)
        self.assertIn("restarted at step 10\n", result.out)
        self.assertEqual(content(self.checkpoint("whole", 20)), whole)
        numpy.testing.assert_array_equal(columns(self.folder / "runs/whole/metrics.h5", "training", "loss")[0], loss)

    def test_learning_rate_zero_changes_nothing(self):
        self.succeed(self.deck_file(), "--trainer.learning_rate=0", "--run.name=still", np=2)
        weights = []
        for step in (10, 20):
            with h5py.File(self.checkpoint("still", step), "r") as file:
                names = []
                file.visit(names.append)
                weights.append([file[name][:].tobytes() for name in names if name.endswith("weights")])
        self.assertEqual(len(weights[0]), 1)
        self.assertEqual(weights[0], weights[1])

    def test_an_export_is_left(self):
        self.succeed(self.deck_file(), "--run.name=left", np=2)
        left = self.folder / "runs" / "left" / "model"
        self.assertEqual(json.loads((left / "config.json").read_text())["architectures"], ["LlamaForCausalLM"])
        self.assertEqual((left / "tokenizer.json").read_bytes(), (MODEL / "tokenizer.json").read_bytes())
        result = self.succeed(self.deck_file(left), "--run.name=again", "--trainer.steps=1", np=1)
        self.assertIn("1 updates, ", result.out)

    # --- bad input: a sentence, exit code 2, nothing written ---

    def refuse(self, *words, model=MODEL):
        deck = self.deck_file(model)
        before = self.files()
        result = self.run_program(deck, *words, np=2, seconds=30)
        self.assertEqual(result.code, 2, result)
        said = result.err.split("\n-----")[0].strip()  # without what mpirun adds
        self.assertEqual(len(said.splitlines()), 1, result.err)
        self.assertEqual(self.files(), before)
        return said

    def copy(self):
        target = self.folder / "model"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(MODEL, target)
        return target

    def edit_config(self, model, **changes):
        path = model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def test_models_that_cannot_be(self):
        self.assertIn("model.path is not given", self.refuse("--model.path="))
        model = self.copy()
        weights = bytearray((model / "model.safetensors").read_bytes())
        (model / "model.safetensors").write_bytes(weights[:-100])
        self.assertIn("model.safetensors", self.refuse(model=model))

        header = struct.unpack("<Q", weights[:8])[0]
        weights = bytearray((MODEL / "model.safetensors").read_bytes())
        weights[8 + header + 4000:8 + header + 4004] = struct.pack("<f", float("nan"))
        model = self.copy()
        (model / "model.safetensors").write_bytes(weights)
        self.assertRegex(self.refuse(model=model), r"(?i)nan|finite")

        model = self.copy()
        (model / "tokenizer.json").unlink()
        self.assertIn("tokenizer.json", self.refuse(model=model))

        model = self.copy()
        self.edit_config(model, architectures=["MambaForCausalLM"], model_type="mamba")
        self.assertIn("Mamba", self.refuse(model=model))

        model = self.copy()
        self.edit_config(model, intermediate_size=64)
        self.assertIn("mlp.gate_proj", self.refuse(model=model))

    def test_data_that_cannot_be(self):
        self.assertIn("too long", self.refuse("--text.max_new=300"))
        (self.folder / "empty.jsonl").write_text("")
        self.assertIn("empty.jsonl", self.refuse("--data.generator=none", "--data.train=empty.jsonl"))
        (self.folder / "broken.jsonl").write_text('{"prompt": "a", "answer": "b"}\n{"prompt": "c"\n')
        self.assertIn("broken.jsonl:2", self.refuse("--data.generator=none", "--data.train=broken.jsonl"))
        self.assertIn("text.stop", self.refuse("--text.stop=two"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
