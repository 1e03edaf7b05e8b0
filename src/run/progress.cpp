// Progress lines and the summary: what a row says, for a person.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "tightrope/run/recorder.hpp"

namespace tightrope {
namespace {

template <class... T>
std::string text(const char* format, T... values) {
  char line[256];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

std::string bar(double done) {
  constexpr int kWidth = 12;
  std::string drawn(kWidth + 2, '.');
  drawn.front() = '[';
  drawn.back() = ']';
  std::fill_n(drawn.begin() + 1, static_cast<int>(std::clamp(done, 0.0, 1.0) * kWidth), '#');
  return drawn;
}

std::string clock(double seconds) {
  const auto whole = std::llround(seconds);
  if (whole >= 3600) return text("%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  return text("%lld:%02lld", whole / 60, whole % 60);
}

std::string rate(double per_second) {
  return per_second < 9999.5 ? text("%.0f", per_second) : text("%.1fk", per_second / 1000);
}

double value(const MetricsFile::Values& values, const char* name) {
  const auto found = values.find(name);
  return found == values.end() ? std::nan("") : found->second;
}

// The terminal line discipline's major numbers on Linux: consoles (4, 5) and pseudo-terminals (136 .. 143).
bool is_terminal(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISCHR(status.st_mode)) return false;
  const unsigned kind = major(status.st_rdev);
  return kind == 4 || kind == 5 || (kind >= 136 && kind <= 143);
}

}  // namespace

// mpirun gives its ranks a pseudo-terminal even where its own output goes to a file, so its own counts.
bool stdout_is_terminal() {
  if (isatty(STDOUT_FILENO) == 0) return false;
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) return true;
  return is_terminal("/proc/" + std::to_string(getppid()) + "/fd/1");
}

void Recorder::show(const MetricsFile::Values& row) const {
  const double step = value(row, "step"), steps = static_cast<double>(setup_.steps);
  std::string line = text("%.0f/%.0f ", step, steps) + bar(steps > 0 ? step / steps : 1);
  line += " sampled " + rate(value(row, "searcher_rate")) + "/s trained " + rate(value(row, "trainer_rate")) + "/s";
  line += text(" | loss %.3g log Z %.3f", value(row, "loss"), value(row, "log_z"));
  if (exact_.has("log_z")) line += text(" (exact %.3f)", exact_.value("log_z"));
  if (last_evaluation_.contains("tv")) line += text(" TV %.4f", value(last_evaluation_, "tv"));
  if (last_evaluation_.contains("modes_found")) line += text(" modes %.0f", value(last_evaluation_, "modes_found"));
  if (last_evaluation_.contains("sampled_accuracy"))
    line += text(" held-out %.1f%% greedy %.1f%%", 100 * value(last_evaluation_, "sampled_accuracy"),
                 100 * value(last_evaluation_, "greedy_accuracy"));
  line += text(" log R %.3g", value(row, "log_reward"));
  line += text(" | stale %.1f reuse %.2f fill %.0f%%", value(row, "staleness"), value(row, "reuse"),
               100 * value(row, "replay_fill"));
  line += text(" | idle S %.0f%% T %.0f%%", 100 * value(row, "searcher_idle"), 100 * value(row, "trainer_idle"));
  const double first = static_cast<double>(std::max<int64_t>(setup_.restart_step, 0));
  if (step > first) line += " | left " + clock((steps - step) / (step - first) * watch_.seconds());
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

std::string Recorder::summary() const {
  std::string line = text("%.0f updates, %.0f trajectories, ", value(last_evaluation_, "step"),
                          value(last_evaluation_, "trajectories")) +
                     clock(seconds());
  line += text(": loss %.4g", value(last_row_, "loss"));
  if (last_evaluation_.contains("log_z")) line += text(", log Z %.4f", value(last_evaluation_, "log_z"));
  if (exact_.has("log_z")) line += text(" (exact %.4f)", exact_.value("log_z"));
  if (last_evaluation_.contains("tv")) line += text(", TV %.5f", value(last_evaluation_, "tv"));
  if (last_evaluation_.contains("modes_found"))
    line += text(", modes found %.0f", value(last_evaluation_, "modes_found"));
  if (last_evaluation_.contains("sampled_accuracy"))
    line += text(", held-out accuracy %.1f%% sampled, %.1f%% greedy", 100 * value(last_evaluation_, "sampled_accuracy"),
                 100 * value(last_evaluation_, "greedy_accuracy"));
  return line;
}

}  // namespace tightrope
