#include "tightrope/run/command_line.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tightrope/base/build_info.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/base/hdf5.hpp"
#include "tightrope/base/io_thread.hpp"
#include "tightrope/run/checkpoint.hpp"
#include "tightrope/run/decks.hpp"
#include "tightrope/tasks/registry.hpp"

namespace tightrope {
namespace {

constexpr const char* kUsage =
    "usage: [mpirun -n N] tightrope DECK [--section.key=value ...]\n"
    "       [mpirun -n N] tightrope --run.restart=CHECKPOINT [...]   with the deck that is in the checkpoint\n"
    "  --check       say what the deck comes to on this many ranks, and stop\n"
    "  --print-deck  print the resolved deck with each value's origin, and stop\n"
    "  --help        this, and every key\n"
    "  --markdown    the same as docs/deck.md\n"
    "  --version     version, build and libraries\n";

int print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

int complain(const std::string& problem) {
  std::fprintf(stderr, "tightrope: %s\n%s", problem.c_str(), kUsage);
  return 2;
}

std::string version_text() {
  std::string text;
  for (const std::string& line : build_lines()) text += line + "\n";
  return text + h5::library_version() + "\n";
}

// The deck's text behind a 'T', or a problem behind an 'E'.
std::string load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad())
    return "E" + path + ": cannot read the deck (" + std::strerror(errno) + ") check its name and permissions";
  return "T" + text;
}

// The same of the deck in a checkpoint.
std::string load_from_checkpoint(const std::string& path) {
  try {
    std::string text;
    IoThread().run([&] { text = read_checkpoint_head(path).deck; });
    return "T" + text;
  } catch (const Failure& failure) {
    return std::string("E") + failure.what();
  }
}

void say_all(const mpi::Comm& comm, const std::vector<std::string>& problems) {
  if (comm.rank() != 0) return;
  for (const std::string& problem : problems) std::fprintf(stderr, "%s\n", problem.c_str());
}

// Every rank must run the same deck: a rank that saw another one would hang the others later.
void compare_hash(const Deck& deck, const mpi::Comm& comm) {
  const auto hash = static_cast<int64_t>(deck.hash() >> 1);
  int64_t ends[2] = {hash, -hash};
  comm.max(ends);
  VALIDATE(ends[0] == hash && ends[1] == -hash, "the ranks hold different decks", "their hashes differ",
           "start all ranks with the same program and arguments");
}

}  // namespace

CommandLine CommandLine::parse(int argc, char** argv) {
  CommandLine command;
  for (int i = 1; i < argc && !command.exit_code; ++i) {
    const std::string word = argv[i];
    if (word == "--help" || word == "-h") {
      command.exit_code = print(std::string(kUsage) + "\n" + Deck::help(program_schema()));
    } else if (word == "--version") {
      command.exit_code = print(version_text());
    } else if (word == "--markdown") {
      command.exit_code = print(Deck::markdown(program_schema()));
    } else if (word == "--check") {
      command.check = true;
    } else if (word == "--print-deck") {
      command.print_deck = true;
    } else if (word.starts_with("--") && word.substr(0, word.find('=')).find('.') == std::string::npos) {
      command.exit_code = complain("unknown option " + word);
    } else if (word.starts_with("--")) {
      const bool joined = word.find('=') != std::string::npos || i + 1 == argc || argv[i + 1][0] == '-';
      command.overrides.push_back(joined ? word : word + "=" + argv[++i]);
    } else if (command.deck.empty()) {
      command.deck = word;
    } else {
      command.exit_code = complain("two decks were given: " + command.deck + " and " + word);
    }
  }
  for (const std::string& word : command.overrides) {
    const std::string key = "--run.restart=", path = word.starts_with(key) ? word.substr(key.size()) : "";
    if (!command.deck.empty() || path.empty() || path == "auto" || path == "no") continue;
    command.deck = path;
    command.deck_in_checkpoint = true;
  }
  if (!command.exit_code && command.deck.empty()) command.exit_code = complain("no deck was given");
  return command;
}

std::string CommandLine::run_name() const {
  const auto path = std::filesystem::absolute(deck);
  return deck_in_checkpoint ? path.parent_path().filename().string() : path.stem().string();
}

std::optional<Deck> read_deck(const CommandLine& command, const mpi::Comm& comm) {
  std::string answer;
  if (comm.rank() == 0) answer = command.deck_in_checkpoint ? load_from_checkpoint(command.deck) : load(command.deck);
  answer = comm.broadcast(answer, 0);
  if (answer[0] == 'E') {
    say_all(comm, {answer.substr(1)});
    return std::nullopt;
  }
  try {
    Deck deck(program_schema(), answer.substr(1), command.deck, command.overrides);
    const auto problems = combination_problems(deck, comm.size());
    if (!problems.empty()) throw DeckError(problems);
    compare_hash(deck, comm);
    return deck;
  } catch (const DeckError& error) {
    say_all(comm, error.problems());
    return std::nullopt;
  }
}

std::optional<Prepared> prepare(const Deck& deck, const mpi::Comm& comm) {
  try {
    Prepared prepared{make_task(deck), {}};
    const auto policy = prepared.task->make_policy(find_objective(deck.get<ObjectiveDeck>().kind).needs);
    prepared.plan = make_plan(deck, comm.size(), *prepared.task, policy->parameters.size());
    choose_devices(deck, comm, prepared.plan);
    const bool first_on_node = comm.split_by_node().rank() == 0;
    mpi::check_shared_memory(
        comm, prepared.plan.window_bytes(comm.rank()) + (first_on_node ? prepared.task->frozen_bytes() : 0));
    return prepared;
  } catch (const Failure& failure) {
    say_all(comm, {failure.what()});
    return std::nullopt;
  } catch (const DeckError& error) {
    say_all(comm, error.problems());
    return std::nullopt;
  }
}

}  // namespace tightrope
