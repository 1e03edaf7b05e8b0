"""A restart on other ranks: parameters, records and totals are what they were, and no sample comes twice."""
import os
import pathlib
import shutil
import unittest

from harness import ProgramTest, smoke
from stores import Checkpoint

MODEL = pathlib.Path(os.environ["TIGHTROPE_SOURCE"]) / "tests" / "fixtures" / "models" / "tiny_text"
TEXT = f"""[task]
kind = text
[model]
path = {MODEL}
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
batch = 16
steps = 12
[replay]
bytes = 1MiB
lane_bytes = 16KiB
recent_fraction = 0.5
[world]
threads = 1
"""
CONTENT = ("inserted", "drawn", "refused", "evicted")  # totals over the trainers
NEWEST = ("draws", "newest", "step", "demand")


class Elastic(ProgramTest):
    def begin(self, deck, name, np, *words):
        self.succeed(deck, f"--run.name={name}", *words, np=np)
        return self.checkpoint(name)

    def checkpoint(self, name):
        run = self.folder / "runs" / name
        return run / (run / "LATEST").read_text().strip()

    def move(self, deck, path, name, np, *words):
        """Restarts where there is nothing left to do: what was read is written again."""
        result = self.succeed(deck, f"--run.name={name}", f"--run.restart={path}", *words, np=np)
        self.assertIn("restarted at step", result.out)
        return self.checkpoint(name), result.out

    def compare(self, before, after, queries):
        old, new = Checkpoint(before), Checkpoint(after)
        self.assertEqual(new.step, old.step)
        self.assertEqual(new.problems(queries), [])
        self.assertEqual(new.parameters, old.parameters)  # weights and moments, every byte
        self.assertEqual(new.records(), old.records())
        for name in CONTENT:
            self.assertEqual(new.total(name), old.total(name), name)
        for name in NEWEST:
            self.assertEqual({counters[name] for counters in new.counters},
                             {max(counters[name] for counters in old.counters)}, name)
        self.assertGreaterEqual(new.cursors.min(), old.cursors.min())
        return new

    def go_on(self, deck, path, name, np, queries, *words):
        """New samples have new ids."""
        old = Checkpoint(path)
        self.succeed(deck, f"--run.name={name}", f"--run.restart={path}", f"--trainer.steps={old.step + 30}", *words,
                     np=np)
        new = Checkpoint(self.checkpoint(name))
        self.assertEqual(new.problems(queries), [])
        kept = set(map(tuple, ((r[1], r[-1]) for r in old.records())))
        fresh = {r[1] for r in new.records() if (r[1], r[-1]) not in kept}
        self.assertGreater(len(fresh), 0)
        self.assertEqual(fresh & set(old.ids()), set())

    # As (ranks, trainers); where they are equal every rank has both roles.
    CHAINS = [[(4, 2), (2, 1), (4, 2)], [(2, 2), (6, 3), (2, 2)], [(1, 1), (4, 2), (1, 1)], [(4, 1), (3, 1)]]

    def chain(self, deck, queries, *words, small=()):
        """small: for the first run alone, so that its stores are full; later ones have room wherever records go."""
        for steps in self.CHAINS:
            with self.subTest(chain=steps):
                name = "-".join(f"{np}of{trainers}" for np, trainers in steps)
                np, trainers = steps[0]
                path = self.begin(deck, name, np, f"--world.trainers={trainers}", *words, *small)
                self.assertEqual(Checkpoint(path).problems(queries), [])
                for turn, (np, trainers) in enumerate(steps[1:]):
                    moved, said = self.move(deck, path, f"{name}-{turn}", np, f"--world.trainers={trainers}", *words)
                    self.assertIn(f"; this run has {np} ranks, {trainers} trainers, ", said)
                    self.compare(path, moved, queries)
                    path = moved
                self.go_on(deck, path, f"{name}-on", np, queries, f"--world.trainers={trainers}", *words)

    def test_hypergrid(self):
        # Stores of hundreds that have been full for long, so that old stores differ in what they evicted.
        self.chain(smoke("hypergrid"), 1, "--replay.samples_per_insert=4", "--replay.minimum=50",
                   small=("--replay.capacity=300",))

    def test_text(self):
        self.chain(self.deck(TEXT), 40)

    def test_lockstep(self):
        self.chain(smoke("lockstep"), 1, "--trainer.updates_per_phase=3", small=("--replay.capacity=300",))

    def test_a_smaller_store_keeps_the_newest(self):
        path = self.begin(smoke("hypergrid"), "large", 2, "--replay.capacity=400")
        old = Checkpoint(path)
        moved, said = self.move(smoke("hypergrid"), path, "small", 3, "--world.trainers=2", "--replay.capacity=100")
        new = Checkpoint(moved)
        self.assertEqual(new.problems(1), [])
        self.assertEqual([len(store) for store in new.stores], [100, 100])
        self.assertIn("200 records of the checkpoint have no room in the stores and were left out: the worst by "
                      "replay.keep\n", said)
        for trainer, store in enumerate(new.stores):
            mine = [record for record in old.stores[0] if record["id"] % 2 == trainer]
            mine.sort(key=lambda record: (record["version"], record["ticket"]))
            self.assertEqual([record["id"] for record in store], [record["id"] for record in mine[-100:]])

    def test_the_deck_in_the_checkpoint(self):
        self.succeed(smoke("lockstep"), "--run.name=whole", "--trainer.steps=300", np=2)
        self.succeed(smoke("lockstep"), "--run.name=run", np=2)
        result = self.succeed("--run.restart=runs/run/checkpoint-100.h5", "--trainer.steps=300", np=2)
        self.assertIn("restarted at step 100\nchanged since the checkpoint: trainer.steps: 200 -> 300\n"
                      "run runs/run: 300 updates", result.out)
        old, new = (Checkpoint(self.folder / "runs" / name / "checkpoint-300.h5") for name in ("whole", "run"))
        self.assertEqual(new.parameters, old.parameters)
        self.assertEqual(new.records(), old.records())

    def test_the_deck_in_a_checkpoint_without_a_name_is_called_as_its_folder(self):
        self.succeed(smoke("lockstep"), np=1)
        (self.folder / "else").mkdir()
        shutil.copy(self.folder / "runs/lockstep/checkpoint-100.h5", self.folder / "else")
        self.succeed("--run.restart=else/checkpoint-100.h5", np=1)
        self.assertTrue((self.folder / "runs/else/checkpoint-200.h5").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
