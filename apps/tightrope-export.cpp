// tightrope-export RUN DIR: the language model of a run's newest checkpoint as a Hugging Face folder.
#include <boost/program_options.hpp>

#include <cstdio>
#include <filesystem>
#include <iostream>

#include "tightrope/base/check.hpp"
#include "tightrope/policies/model_folder.hpp"
#include "tightrope/run/checkpoint.hpp"
#include "tightrope/run/decks.hpp"
#include "tightrope/tasks/text_problems.hpp"

namespace {

using namespace tightrope;
namespace options = boost::program_options;

constexpr const char* kUsage =
    "usage: tightrope-export RUN DIR [options]\n"
    "RUN is a run's folder (its newest whole checkpoint counts) or a checkpoint; DIR is made.\n";

struct Command {
  std::string from, to, model, dtype;
};

void run(const Command& command) {
  const auto say = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  const bool folder = std::filesystem::is_directory(command.from);
  const std::string path = folder ? find_checkpoint({command.from}, say) : command.from;
  VALIDATE(!path.empty(), "there is no checkpoint in " + command.from, "a run writes one at its end",
           "give another run");
  const CheckpointData data = read_checkpoint(path, 0);
  VALIDATE(data.task == "text", path + " holds no language model", "its task is " + data.task, "give a text run");
  const Deck deck(program_schema(), data.deck, path, {});
  const std::string source = command.model.empty() ? deck.get<ModelDeck>().path : command.model;
  const auto& weights = data.parameters.at(0).arrays.at("weights");
  const auto type = command.dtype == "bfloat16" ? Dtype::bfloat16 : Dtype::float32;
  write_model_folder(command.to, read_decoder_config(source), weights, type, source);
  std::printf("%s: the model of %s, step %lld, %s\n", command.to.c_str(), path.c_str(),
              static_cast<long long>(data.step), command.dtype.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Command command;
  options::options_description visible("options"), all;
  visible.add_options()("help", "this")("dtype", options::value(&command.dtype)->default_value("float32"),
                                        "float32 or bfloat16")(
      "model", options::value(&command.model), "folder of config.json and tokenizer; default: the run's model.path");
  all.add(visible).add_options()("from", options::value(&command.from))("to", options::value(&command.to));
  options::positional_options_description places;
  places.add("from", 1).add("to", 1);
  try {
    options::variables_map given;
    options::store(options::command_line_parser(argc, argv).options(all).positional(places).run(), given);
    options::notify(given);
    const bool complete = given.count("from") && given.count("to");
    if (given.count("help") || !complete || (command.dtype != "float32" && command.dtype != "bfloat16")) {
      (given.count("help") ? std::cout : std::cerr) << kUsage << visible;
      return given.count("help") ? 0 : 2;
    }
    run(command);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tightrope-export: %s\n", error.what());
    return 2;
  }
  return 0;
}
