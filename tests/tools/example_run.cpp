// Writes a small metrics.h5 as a run does, through MetricsFile: what the tests of the report and of the recipes read.
//   example_run FOLDER [--decay=N] [--rows=N] [--seconds-per-row=S] [--without-exact]
// The "model" of an 8x8 hypergrid moves from uniform to the target as exp(-trajectories / decay).
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "tightrope/run/metrics_file.hpp"

namespace tightrope {
namespace {

constexpr int side = 8;
constexpr int64_t per_row = 3200;  // trajectories between two rows

struct Options {
  std::string folder;
  double decay = 8000, seconds_per_row = 0;
  int rows = 40;
  bool exact = true;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const std::string value = text.substr(std::min(text.size(), text.find('=') + 1));
    if (text.starts_with("--decay=")) {
      options.decay = std::stod(value);
    } else if (text.starts_with("--rows=")) {
      options.rows = std::stoi(value);
    } else if (text.starts_with("--seconds-per-row=")) {
      options.seconds_per_row = std::stod(value);
    } else if (text == "--without-exact") {
      options.exact = false;
    } else {
      options.folder = text;
    }
  }
  return options;
}

// R0 + R1 + R2 of the hypergrid with R0 = 0.1, R1 = 0.5, R2 = 2, bands in integers: |2 x - (H - 1)| against (H - 1).
std::vector<double> rewards() {
  std::vector<double> reward(side * side, 0.1);
  const auto outer = [](int x) { return 2 * std::abs(2 * x - (side - 1)) > side - 1; };
  const auto inner = [](int x) {
    const int twice = 10 * std::abs(2 * x - (side - 1));
    return 6 * (side - 1) < twice && twice < 8 * (side - 1);
  };
  for (int x = 0; x < side; ++x) {
    for (int y = 0; y < side; ++y) {
      double& value = reward[static_cast<size_t>(x * side + y)];
      if (outer(x) && outer(y)) value += 0.5;
      if (inner(x) && inner(y)) value += 2;
    }
  }
  return reward;
}

RunDescription description() {
  RunDescription text;
  text.deck = "[run]\nname = example\n\n[task]\nname = hypergrid\n";
  text.task = "hypergrid";
  text.build = {"tightrope example", "made by example_run"};
  text.libraries = {h5::library_version()};
  text.settings = {"none: this is no MPI program"};
  text.ranks = 4;
  text.trainers = 1;
  text.searchers = 3;
  return text;
}

MetricsFile::Vectors histograms(int row) {
  std::vector<double> staleness(8), reuse(8);
  for (size_t bin = 0; bin < 8; ++bin) {
    const double distance = static_cast<double>(bin) - 3 - std::sin(row);
    staleness[bin] = std::round(1000 * std::exp(-distance * distance));
    reuse[bin] = std::round(1500 * std::exp(-0.7 * static_cast<double>(bin)));
  }
  return {{"staleness_histogram", staleness}, {"reuse_histogram", reuse}};
}

MetricsFile::Values training_row(int row, double trajectories, double left, double log_z) {
  const double wave = std::sin(1.7 * row);
  return {{"step", 200.0 * row},
          {"seconds", 1.5 * row},
          {"trajectories", trajectories},
          {"loss", 3.6 * left * left * (1 + 0.3 * wave) + 1e-3},
          {"log_z", log_z * (1 - left) + 0.01 * left * wave},
          {"log_reward", -0.4 - 0.9 * left},
          {"grad_norm", 2 * left + 0.1},
          {"length", 6 + left},
          {"staleness", 7 + wave},
          {"reuse", 1.2},
          {"replay_records", std::min(trajectories, 50000.0)},
          {"replay_fill", std::min(trajectories / 50000.0, 1.0)},
          {"searcher_rate", 2600 + 50 * wave},
          {"trainer_rate", 2133 + 40 * wave},
          {"searcher_idle", 0.08},
          {"trainer_idle", 0.21},
          {"version", 200.0 * row}};
}

void write(const Options& options) {
  const std::vector<double> reward = rewards();
  const double total = std::accumulate(reward.begin(), reward.end(), 0.0), log_z = std::log(total);
  std::vector<double> target(reward);
  for (double& p : target) p /= total;

  std::filesystem::create_directories(options.folder);
  IoThread io;
  MetricsFile file(io, options.folder + "/metrics.h5", description(), MetricsFile::Mode::create);
  if (options.exact) file.constants({{"log_z", log_z}}, {{"target", target}, {"shape", {side, side}}});
  for (int row = 1; row <= options.rows; ++row) {
    const double trajectories = static_cast<double>(per_row) * row;
    const double left = std::exp(-trajectories / options.decay);  // what is still to be learned
    file.row(training_row(row, trajectories, left, log_z), histograms(row));
    std::vector<double> model(target);
    double tv = 0;
    for (size_t i = 0; i < model.size(); ++i) {
      model[i] += left * (1.0 / (side * side) - target[i]) + 2e-4 * std::sin(static_cast<double>(i) * row);
      tv += std::abs(model[i] - target[i]) / 2;
    }
    MetricsFile::Values values = {{"step", 200.0 * row}, {"trajectories", trajectories}, {"mean_length", 6.1}};
    if (options.exact) {
      values.insert({{"tv", tv}, {"log_z", log_z * (1 - left)}, {"elbo", log_z - tv}});
      file.evaluation(values, {{"distribution", model}});
    } else {
      file.evaluation(values, {});
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds_per_row));
  }
  file.close();
}

}  // namespace
}  // namespace tightrope

int main(int argc, char** argv) {
  try {
    tightrope::write(tightrope::parse(argc, argv));
    return 0;
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "example_run: %s\n", problem.what());
    return 1;
  }
}
