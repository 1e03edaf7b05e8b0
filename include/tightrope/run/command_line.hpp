#pragma once
// The program's command line, and the deck that it names, read once for all ranks.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tightrope/base/mpi.hpp"
#include "tightrope/core/deck.hpp"
#include "tightrope/run/decks.hpp"

namespace tightrope {

struct CommandLine {
  std::string deck;                    // path: of a deck, or of the checkpoint that holds it
  bool deck_in_checkpoint = false;     // no deck, but --run.restart=PATH
  std::vector<std::string> overrides;  // "--section.key=value"
  bool check = false, print_deck = false;
  // What the run is called where its deck does not say so: as the deck's file, or as the folder of the checkpoint.
  std::string run_name() const;

  // Answers --help, --version and --markdown at once, and says what is wrong with other words: then there is nothing
  // left to do and exit_code holds.
  static CommandLine parse(int argc, char** argv);
  std::optional<int> exit_code;
};

// Collective.  Rank 0 reads, every rank resolves the same text; all problems are printed once, by rank 0, and then
// nothing is returned: the exit code is 2.
std::optional<Deck> read_deck(const CommandLine& command, const mpi::Comm& comm);

// Each key whose value is another one in `before`, the resolved() of this program's deck or of an older one's:
// "key: old -> new".
std::vector<std::string> deck_changes(const std::string& before, const Deck& now);

// What a deck comes to on these ranks, before any window is made.  Collective; problems (a task that cannot be made,
// sizes that do not fit, too little shared memory) are printed once, by rank 0, and then nothing is returned.
struct Prepared {
  std::unique_ptr<Task> task;
  Plan plan;
};
std::optional<Prepared> prepare(const Deck& deck, const mpi::Comm& comm);

}  // namespace tightrope
