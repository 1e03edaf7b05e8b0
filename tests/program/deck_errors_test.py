"""Every problem of a deck is said before a window is made: together, once, with its place, and exit code 2."""
import os
import subprocess
import unittest

from harness import ProgramTest, smoke

GROUP_OF_ONE = "[task]\nkind = hypergrid\n\n[objective]\nkind = vargrad\ngroup = 1\n"


class DeckErrors(ProgramTest):
    def refuse(self, *words, np=1, **options):
        """What rank 0 says; nothing but the decks may be in the folder afterwards."""
        before = self.files()
        result = self.run_program(*words, np=np, **options)
        self.assertEqual(result.code, 2, result)
        self.assertEqual(result.out, "")
        self.assertEqual(self.files(), before)
        # What the launcher adds begins with a line of dashes.
        return result.err.split("-----")[0].splitlines()

    def test_exploration_that_a_task_does_not_know(self):
        deck = self.deck("[task]\nkind = hypergrid\n[explore]\ntop_p = 0.9\n")
        self.assertEqual(self.refuse(deck), ["deck.ini:4: explore.top_p does nothing with task.kind = hypergrid (it "
                                             "cuts the vocabulary of a text) remove it"])
        deck = self.deck("[task]\nkind = tokens\n[explore]\nepsilon = 0.1\n")
        self.assertEqual(self.refuse(deck), ["deck.ini:4: explore.epsilon does nothing with task.kind = tokens (texts "
                                             "explore by temperature and top_p) remove it"])

    def test_an_objective_that_a_task_cannot_serve(self):
        deck = self.deck("[task]\nkind = tokens\n[objective]\nkind = tb\n")
        self.assertEqual(self.refuse(deck), ["deck.ini:4: objective.kind = tb does not work here (task.kind = tokens "
                                             "has no learned log Z) choose vargrad"])

    def test_unknown_key(self):
        deck = self.deck("[task]\nkind = hypergrid\n\n[trainer]\nlearning_rat = 1e-3\n")
        self.assertEqual(self.refuse(deck),
                         ["deck.ini:5: unknown key 'trainer.learning_rat'; did you mean 'trainer.learning_rate'?"])

    def test_many_problems_together_and_once(self):
        deck = self.deck("[task]\nkind = hypergrid\n[trainer]\nbatch = ten\nsteps = 5\nsteps = 6\n"
                         "[trainer]\nbeta1 = 7\nlearning_rat = 1\n[wrld]\ntrainers = 1\n")
        self.assertEqual(self.refuse(deck, "--explore.epsilon=2", np=4), [
            "deck.ini:4: trainer.batch = ten is not a count (a count is a whole number) write it like 64 or 1e6",
            "deck.ini:6: repeated key 'trainer.steps' (first at deck.ini:5) keep one of them",
            "deck.ini:8: trainer.beta1 = 7 is out of range (0 .. 1) give a value inside it",
            "deck.ini:9: unknown key 'trainer.learning_rat'; did you mean 'trainer.learning_rate'?",
            "deck.ini:10: unknown section 'wrld'; did you mean 'world'?",
            "--explore.epsilon: explore.epsilon = 2 is out of range (0 .. 1 probability) give a value inside it",
        ])

    def test_combinations_together_and_once(self):
        deck = self.deck(GROUP_OF_ONE + "[world]\ntrainers = 3\n")
        said = self.refuse(deck, np=2)
        self.assertEqual(len(said), 2, said)
        self.assertEqual(said[0], "deck.ini:6: objective.group = 1 does not work with objective.kind = vargrad "
                                  "(its log Z is the mean over a group) set objective.group to 2 or more")
        self.assertTrue(said[1].startswith("deck.ini:8: fewer ranks than roles (3 trainers and 1 searchers on 2 ranks)"
                                           " start 4 ranks"), said)

    def test_group_must_divide_batch(self):
        deck = self.deck(GROUP_OF_ONE)
        self.assertEqual(self.refuse(deck, "--objective.group=3"),
                         ["command line: objective.group = 3 does not divide trainer.batch = 16 (a batch is made of "
                          "whole groups) choose a divisor"])

    def test_more_ranks_than_roles(self):
        said = self.refuse(smoke("hypergrid"), "--world.trainers=1", "--world.searchers=1", np=4)
        self.assertEqual(len(said), 1, said)
        self.assertIn("more ranks than roles (1 trainers and 1 searchers on 4 ranks) start 2 ranks", said[0])

    def test_unreadable_deck(self):
        self.assertEqual(self.refuse("absent.ini", np=2),
                         ["absent.ini: cannot read the deck (No such file or directory) check its name and "
                          "permissions"])

    def test_store_too_small_for_a_batch(self):
        said = self.refuse(smoke("hypergrid"), "--replay.bytes=1KiB", np=4)
        self.assertEqual(len(said), 1, said)
        self.assertIn("replay.bytes is too small (a store of 8 records of 128 B cannot hold one trainer's batch of "
                      "16) give replay.bytes at least 2.0 KiB", said[0])

    def check_memory_message(self, said, where):
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said[0], rf"^the windows on host \S+ want [0-9]+ bytes, available are [0-9]+ in {where} \(.*"
                                  r"\) make it larger .*lower replay.bytes$")

    def test_memory_too_small(self):
        for np in (1, 4):
            self.check_memory_message(self.refuse(smoke("hypergrid"), "--replay.bytes=100TiB", np=np), "\\S+")

    def test_shared_memory_too_small(self):
        # A file system of 8 MiB in a mount namespace of its own, as a container with a small /dev/shm has it.
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
        small = self.folder / "small"
        small.mkdir()
        mount = [*unshare, "sh", "-c", f'mount -t tmpfs -o size=8m none {small} && exec "$@"', "sh"]
        if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("this machine allows no mount namespace")
        env = {"OMPI_MCA_osc_sm_backing_directory": str(small)}
        self.check_memory_message(self.refuse(smoke("hypergrid"), np=4, env=env, launcher=mount), small)
        # The same place is enough for a smaller store.
        self.succeed(smoke("hypergrid"), "--replay.bytes=1MiB", "--replay.lane_bytes=16KiB", "--trainer.steps=10",
                     np=4, env=env, launcher=mount)


if __name__ == "__main__":
    unittest.main()
