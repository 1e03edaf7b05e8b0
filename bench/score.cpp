// How fast a decoder scores token trees and trains on them, against the matrix products of the same pass alone.
//   bench_score MODEL_FOLDER [--threads 1] [--precision float32|bfloat16] [--only train]
// Scoring counts distinct tokens.  "products": the library's time for the matrix products with parameters, each as
// often as the mathematics asks (the backward pass also computes the logits once more), without attention.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <sys/resource.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>

#include "../src/policies/decoder_pass.hpp"
#include "../src/policies/decoder_products.hpp"
#include "tightrope/base/allocation.hpp"
#include "tightrope/core/rng.hpp"
#include "tightrope/learn/optimiser.hpp"
#include "tightrope/policies/decoder.hpp"
#include "tightrope/policies/model_folder.hpp"

namespace tightrope {
namespace {

constexpr int kRuns = 3;  // the best counts: other work on the machine only ever adds

// Processor time of one thread, which other work on the machine disturbs least; with more threads the clock's.
double now(bool one_thread) {
  if (one_thread) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double seconds_of(const std::function<void()>& work) {
  const bool one_thread = at::get_num_threads() == 1;
  const double start = now(one_thread);
  work();
  return now(one_thread) - start;
}

double peak_mebibytes() {  // of this process's memory, so far
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

double best_of(const std::function<void()>& work) {
  double best = 1e99;
  for (int run = 0; run < kRuns; ++run) best = std::min(best, seconds_of(work));
  return best;
}

struct Workload {
  TokenTree tree;
  ScoreRequest request;
};

// `prompts` random prompts with k random answers each; prompt 1 and k 1 predicts every token but the first.
Workload workload(const DecoderConfig& config, int64_t prompts, int64_t k, int64_t prompt, int64_t answer) {
  std::vector<std::vector<int32_t>> sequences;
  uint32_t counter = 0;
  const auto extend = [&](std::vector<int32_t> tokens, int64_t count) {
    for (; count > 0; --count)
      tokens.push_back(
          static_cast<int32_t>(static_cast<double>(config.vocabulary) * uniform(1, Stream::weights, 0, counter++)));
    return tokens;
  };
  for (int64_t p = 0; p < prompts; ++p) {
    const auto shared = extend({}, prompt);
    for (int64_t i = 0; i < k; ++i) sequences.push_back(extend(shared, answer));
  }
  std::vector<PredictedSequence> views;
  for (const auto& tokens : sequences) views.push_back({tokens, prompt});
  Workload out;
  Predictions predictions;
  out.tree = make_token_tree(views, predictions);
  out.request.row = at::tensor(predictions.row, at::kLong);
  out.request.target = at::tensor(predictions.target, at::kLong);
  return out;
}

// One operand and result of each linear layer, for n rows.
class Products {
 public:
  Products(const DecoderConfig& config, const Tensor& rounded, const Tensor& gradient, int64_t layer_rows,
           int64_t head_rows)
      : views_(config, rounded), to_(config, gradient), layer_rows_(layer_rows), head_rows_(head_rows) {}

  void forward() const {
    each([](const Tensor& x, const Tensor& w, const Tensor& /*dw*/, const Tensor& y) { product(x, w, y); });
  }
  void backward() const {
    each([](const Tensor& x, const Tensor& w, const Tensor& dw, const Tensor& y) {
      input_gradient(y, w, x);
      add_weight_gradient(y, x, dw);
    });
  }

 private:
  template <class Body>
  void each(Body body) const {
    for (size_t l = 0; l < views_.layers.size(); ++l) {
      const auto &from = views_.layers[l], &to = to_.layers[l];
      one(from.qkv, to.qkv, layer_rows_, body);
      one(from.o, to.o, layer_rows_, body);
      one(from.gate_up, to.gate_up, layer_rows_, body);
      one(from.down, to.down, layer_rows_, body);
    }
    for (int64_t token = 0, block = 2048; token < views_.head.size(0); token += block) {
      const int64_t tokens = std::min(block, views_.head.size(0) - token);
      one(views_.head.narrow(0, token, tokens), to_.head.narrow(0, token, tokens), head_rows_, body);
    }
  }
  template <class Body>
  void one(const Tensor& w, const Tensor& dw, int64_t rows, Body body) const {
    body(at::full({rows, w.size(1)}, 0.01, w.options()), w, dw, at::full({rows, w.size(0)}, 0.01, w.options()));
  }

  DecoderViews views_, to_;
  int64_t layer_rows_, head_rows_;
};

struct Bench {
  Bench(const std::string& path, Precision precision) : folder(path), decoder(folder.config(), precision) {
    add_decoder_parameters(folder.config(), parameters);
    folder.load({parameters.flat().mutable_data_ptr<float>(), static_cast<size_t>(parameters.size())});
    frozen = parameters.flat().to(precision == Precision::bfloat16 ? at::kBFloat16 : at::kFloat);
  }

  Products products(const Workload& work) const {
    return {decoder.config(), frozen, parameters.gradient(), work.tree.nodes(),
            std::get<0>(at::_unique(work.request.row)).size(0)};
  }

  void score(const char* name, int64_t prompts, int64_t k, int64_t prompt, int64_t answer) const {
    const Workload work = workload(decoder.config(), prompts, k, prompt, answer);
    const double seconds = best_of([&] { decoder.score(frozen, work.tree, work.request); });
    const double alone = best_of([&] { products(work).forward(); });
    const auto nodes = static_cast<double>(work.tree.nodes());
    const auto tokens = static_cast<double>(prompts * k * (prompt + answer - 1));
    std::printf(
        "score %-28s %6.0f distinct of %6.0f tokens: %7.3f s, %7.1f distinct/s, %7.1f tokens/s; products %.3f s "
        "(%.0f %%)\n",
        name, nodes, tokens, seconds, nodes / seconds, tokens / seconds, alone, 100 * alone / seconds);
    std::fflush(stdout);
  }

  void train(int64_t sequences, int64_t length) {
    const Workload work = workload(decoder.config(), sequences, 1, 1, length);
    OptimiserDeck deck;
    deck.clip = 1, deck.learning_rate = 1e-6;
    Optimiser optimiser(deck, parameters, kRuns);
    double forward = 1e99, backward = 1e99, step = 1e99, whole = 1e99;
    for (int run = 0; run < kRuns; ++run) {
      Tensor loss;
      const double f = seconds_of([&] { loss = -decoder.score(parameters, work.tree, work.request).log_prob.mean(); });
      const double b = seconds_of([&] {
        loss.backward();
        loss.reset();
      });
      const double s = seconds_of([&] {
        optimiser.step(optimiser.norm());
        parameters.zero_gradient();
      });
      forward = std::min(forward, f), backward = std::min(backward, b), step = std::min(step, s);
      whole = std::min(whole, f + b + s);
    }
    const double peak = peak_mebibytes();
    const double alone = best_of([&] {
      products(work).forward();
      products(work).backward();
    });
    const auto tokens = static_cast<double>(sequences * length);
    std::printf(
        "train %lld x %lld, loss on all positions: %.2f s, %.1f tokens/s (forward %.2f, backward %.2f, clip and "
        "AdamW %.2f s); products %.2f s (%.0f %% of the whole, %.0f %% of forward and backward); peak %.0f MiB\n",
        static_cast<long long>(sequences), static_cast<long long>(length), whole, tokens / whole, forward, backward,
        step, alone, 100 * alone / whole, 100 * alone / (forward + backward), peak);
  }

  ModelFolder folder;
  Decoder decoder;
  ParameterSet parameters;
  Tensor frozen;
};

int run(int argc, char** argv) {
  keep_freed_memory();  // as the program does
  Precision precision = native_precision();
  int threads = 1;
  bool only_train = false;
  for (int i = 2; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--threads") == 0) threads = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--precision") == 0)
      precision = std::strcmp(argv[i + 1], "bfloat16") == 0 ? Precision::bfloat16 : Precision::float32;
    if (std::strcmp(argv[i], "--only") == 0) only_train = std::strcmp(argv[i + 1], "train") == 0;
  }
  if (argc < 2 || argc % 2 != 0) {
    std::fprintf(stderr, "usage: see the first lines of bench/score.cpp\n");
    return 2;
  }
  at::set_num_threads(threads);
  Bench bench(argv[1], precision);
  std::printf("%s, %d thread(s), best of %d\n", precision == Precision::bfloat16 ? "bfloat16" : "float32", threads,
              kRuns);
  if (!only_train) {
    bench.score("16 x 64", 16, 1, 1, 64);
    bench.score("16 x 256", 16, 1, 1, 256);
    for (const auto& [prompt, answer] : {std::pair(48, 16), {56, 8}, {200, 56}, {240, 16}}) {
      const std::string name = "2 prompts x K=8, " + std::to_string(prompt) + " + " + std::to_string(answer);
      bench.score(name.c_str(), 2, 8, prompt, answer);
    }
  }
  bench.train(16, 64);
  return 0;
}

}  // namespace
}  // namespace tightrope

int main(int argc, char** argv) { return tightrope::run(argc, argv); }
