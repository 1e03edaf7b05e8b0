// tightrope-generate DIR "prompt": runs a Hugging Face folder of the Llama family from the shell, word by word.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <boost/program_options.hpp>

#include <cstdio>
#include <iostream>

#include "tightrope/base/check.hpp"
#include "tightrope/core/rng.hpp"
#include "tightrope/policies/model_folder.hpp"
#include "tightrope/policies/text_sampler.hpp"
#include "tightrope/tasks/text_prompt.hpp"
#include "tightrope/tasks/tokenizer.hpp"

namespace {

using namespace tightrope;
namespace options = boost::program_options;

constexpr const char* kUsage = "usage: tightrope-generate DIR PROMPT [options]\n";

struct Command {
  std::string folder, prompt, weights;
  int64_t max_new = 0, threads = 0;
  uint64_t seed = 0;
  double temperature = 1, top_p = 1;
  bool greedy = false, chat = false;
};

// Prints what is certain of a text that grows: a character may still be incomplete.
class Stream {
 public:
  explicit Stream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  void add(int32_t token) {
    tokens_.push_back(token);
    const std::string text = tokenizer_.decode(tokens_);
    if (!text.ends_with("\xEF\xBF\xBD")) show(text);
  }
  void finish() { show(tokenizer_.decode(tokens_) + "\n"); }

 private:
  void show(const std::string& text) {
    if (text.size() <= shown_) return;
    std::fwrite(text.data() + shown_, 1, text.size() - shown_, stdout);
    std::fflush(stdout);
    shown_ = text.size();
  }
  const Tokenizer& tokenizer_;
  std::vector<int32_t> tokens_;
  size_t shown_ = 0;
};

void run(const Command& command) {
  const ModelFolder folder(command.folder);
  const Tokenizer tokenizer(command.folder);
  const at::Tensor flat = at::empty({folder.parameter_count()}, at::kFloat);
  folder.load({flat.mutable_data_ptr<float>(), static_cast<size_t>(flat.numel())});
  TextSampler sampler(folder.config(), command.weights == "float32" ? Precision::float32 : Precision::bfloat16);
  sampler.load(flat);
  TextDataDeck form;
  form.chat = command.chat ? "chatml" : "none";
  const std::string text = PromptForm(form, {})(command.prompt);
  SampleOptions wishes;
  wishes.max_new = command.max_new;
  wishes.temperature = command.temperature;
  wishes.top_p = command.top_p;
  wishes.greedy = command.greedy;
  wishes.stops.assign(folder.config().eos.begin(), folder.config().eos.end());
  Stream stream(tokenizer);
  const auto prompt = tokenizer.encode(text, true);
  const int64_t first = 0;
  sampler.generate(
      {{prompt.begin(), prompt.end()}}, {&first, 1}, wishes,
      [&](int64_t, int64_t position) {
        return uniform(command.seed, tightrope::Stream::action, 0, static_cast<uint32_t>(position));
      },
      [&](int64_t, int64_t token) { stream.add(static_cast<int32_t>(token)); });
  stream.finish();
}

}  // namespace

int main(int argc, char** argv) {
  Command command;
  options::options_description visible("options"), all;
  visible.add_options()("help", "this")("max-new", options::value(&command.max_new)->default_value(128), "tokens")(
      "temperature", options::value(&command.temperature)->default_value(1), "divides the logits")(
      "top-p", options::value(&command.top_p)->default_value(1), "mass of the likeliest tokens that are drawn from")(
      "seed", options::value(&command.seed)->default_value(1), "of the draws")(
      "greedy", options::bool_switch(&command.greedy), "always the likeliest token")(
      "chat", options::bool_switch(&command.chat), "put the prompt into a chatml turn")(
      "weights", options::value(&command.weights)->default_value("bfloat16"), "bfloat16 or float32")(
      "threads", options::value(&command.threads)->default_value(0), "0 = as LibTorch chooses");
  all.add(visible).add_options()("folder", options::value(&command.folder))("prompt", options::value(&command.prompt));
  options::positional_options_description places;
  places.add("folder", 1).add("prompt", 1);
  try {
    options::variables_map given;
    options::store(options::command_line_parser(argc, argv).options(all).positional(places).run(), given);
    options::notify(given);
    if (given.count("help") || !given.count("prompt")) {
      (given.count("help") ? std::cout : std::cerr) << kUsage << visible;
      return given.count("help") ? 0 : 2;
    }
    if (command.threads > 0) at::set_num_threads(static_cast<int>(command.threads));
    run(command);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tightrope-generate: %s\n", error.what());
    return 2;
  }
  return 0;
}
