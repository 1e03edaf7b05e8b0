"""The words after the program's name: help, version, the deck's page, what a deck resolves to and comes to."""
import unittest

from harness import ProgramTest, smoke


def without_origins(text):
    return [line.split("#")[0].rstrip() for line in text.splitlines() if not line.startswith("#")]


class CommandLine(ProgramTest):
    def tearDown(self):
        self.assertFalse((self.folder / "runs").exists())

    def test_help_names_every_key(self):
        text = self.succeed("--help").out
        self.assertTrue(text.startswith("usage: [mpirun -n N] tightrope DECK [--section.key=value ...]\n"))
        for word in ("--check", "--print-deck", "--version", "learning_rate", "lane_bytes", "updates_per_phase"):
            self.assertIn(word, text)

    def test_version_names_build_and_libraries(self):
        text = self.succeed("--version").out
        self.assertRegex(text, r"tightrope \d+\.\d+\.\d+, git \w+")
        for library in ("LibTorch", "HDF5", "Open MPI", "Boost"):
            self.assertIn(library, text)

    def test_markdown_is_one_table_per_section(self):
        text = self.succeed("--markdown").out
        for section in ("run", "world", "task", "trainer", "searcher", "replay", "checkpoint"):
            self.assertIn(f"[{section}]", text)

    def test_print_deck_round_trip(self):
        words = (smoke("bits"), "--trainer.steps=7", "--replay.bytes=32MiB", "--run.name=seven")
        first = self.succeed(*words, "--print-deck", np=2).out
        self.assertRegex(first, r"(?m)^steps = 7 +# command line \(updates\)$")
        self.assertRegex(first, r"(?m)^batch = 32 +# \S+/bits.ini:\d+ \(trajectories\)$")
        self.assertRegex(first, r"(?m)^mode = async +# default$")
        again = self.succeed(self.deck(first), "--print-deck").out
        self.assertEqual(without_origins(again), without_origins(first))

    def test_overrides_with_a_space(self):
        text = self.succeed(smoke("hypergrid"), "--trainer.steps", "9", "--print-deck").out
        self.assertRegex(text, r"(?m)^steps = 9 +# command line")

    def test_check_says_what_it_comes_to(self):
        text = self.succeed(smoke("bits"), "--check", np=4).out
        for line in (r"ranks +4 \(1 trainers, 3 searchers\)",
                     r"batch +32 trajectories = 4 groups x 8; 4 groups on trainer 0",
                     r"run +300 updates = 9600 trajectories trained on",
                     r"sampling +3 searchers x 16 trajectories at once",
                     r"lanes +3 of 1\.0 MiB per trainer", r"policy +\d+ parameters", r"one-sided memory +[\d.]+ MiB"):
            self.assertRegex(text, rf"(?m)^  {line}")
        both = self.succeed(smoke("hypergrid"), "--check", "--world.trainers=2", np=2).out
        self.assertIn("2 (2 trainers, 2 searchers, each rank is both)", both)

    def complain(self, *words):
        result = self.run_program(*words)
        self.assertEqual(result.code, 2, result)
        return result.err

    def test_wrong_words(self):
        self.assertIn("tightrope: no deck was given\nusage:", self.complain())
        self.assertIn("tightrope: two decks were given: a.ini and b.ini\nusage:", self.complain("a.ini", "b.ini"))
        self.assertIn("tightrope: unknown option --chek\nusage:", self.complain("--chek", smoke("hypergrid")))
        self.assertIn("--trainer.step: unknown key 'trainer.step'; did you mean 'trainer.steps'?",
                      self.complain(smoke("hypergrid"), "--trainer.step=5"))
        self.assertIn("--trainer.steps: no value was given", self.complain(smoke("hypergrid"), "--trainer.steps"))


if __name__ == "__main__":
    unittest.main()
