#include "tightrope/run/metrics_file.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <exception>
#include <filesystem>
#include <functional>
#include <span>
#include <utility>

#include "metrics_columns.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

constexpr int64_t format_version = 1;
constexpr const char* format_name = "tightrope-metrics";

std::string now_utc() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string lines(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& line : list) text += (text.empty() ? "" : "\n") + line;
  return text;
}

std::span<const std::byte> bytes_of(const double& value) { return std::as_bytes(std::span(&value, 1)); }

// Why the file cannot be continued, or "".
std::string unusable(const std::string& path) {
  try {
    const auto file = h5::File::open(path);
    const std::string format = file.text_attribute("/", "format");
    const int64_t version = file.integer_attribute("/", "format_version");
    if (format != format_name) return "it is a " + format + " file";
    if (version != format_version) return "its format version is " + std::to_string(version);
    return "";
  } catch (const Failure& failure) {
    return failure.what();
  }
}

}  // namespace

MetricsFile::MetricsFile(IoThread& io, const std::string& path, const RunDescription& description, Mode mode,
                         int64_t restart_step)
    : io_(io), path_(path) {
  io_.run([&] { open(description, mode, restart_step); });
}

MetricsFile::~MetricsFile() {
  try {
    close();
  } catch (const std::exception&) {
    // close() is there for those who want to know
  }
}

void MetricsFile::open(const RunDescription& description, Mode mode, int64_t restart_step) {
  bool resumed = mode == Mode::resume && std::filesystem::exists(path_);
  if (resumed) {
    const std::string why = unusable(path_);
    if (!why.empty()) {
      const std::string aside = path_ + ".damaged-at-step-" + std::to_string(restart_step);
      std::filesystem::rename(path_, aside);
      note_ = "the metrics of the earlier run cannot be continued (" + why + ") they were moved to '" + aside + "'";
      resumed = false;
    }
  }
  file_.emplace(resumed ? h5::File::reopen(path_) : h5::File::create(path_));
  describe(description, resumed, restart_step);
  for (Table* table : {&training_, &evaluation_}) {
    file_->make_group(table->group);
    // The restarted run evaluates the weights of its first step itself.
    if (resumed) resume(*table, table == &evaluation_ ? restart_step - 1 : restart_step);
  }
  file_->make_group("/exact");
  file_->flush();
}

void MetricsFile::describe(const RunDescription& description, bool resumed, int64_t restart_step) {
  h5::File& file = *file_;
  if (!resumed) {
    file.set_attribute("/", "format", std::string(format_name));
    file.set_attribute("/", "format_version", format_version);
    file.set_attribute("/", "started", now_utc());
    file.set_attribute("/", "restarts", std::string());
  } else {
    const std::string earlier = file.text_attribute("/", "restarts");
    file.set_attribute("/", "restarts",
                       earlier + (earlier.empty() ? "" : "\n") + now_utc() + " step " + std::to_string(restart_step));
  }
  file.set_attribute("/", "deck", description.deck);
  file.set_attribute("/", "task", description.task);
  file.set_attribute("/", "build", lines(description.build));
  file.set_attribute("/", "libraries", lines(description.libraries));
  file.set_attribute("/", "mpi_settings", lines(description.settings));
  file.set_attribute("/", "ranks", description.ranks);
  file.set_attribute("/", "trainers", description.trainers);
  file.set_attribute("/", "searchers", description.searchers);
}

// A run that was killed between two columns of a row leaves them of different length: the shortest counts.
void MetricsFile::resume(Table& table, int64_t restart_step) {
  const auto names = file_->members(table.group);
  for (const std::string& name : names) table.columns[name] = table.group + "/" + name;
  if (table.columns.count("step") == 0) return;
  const auto steps = file_->read<double>(table.columns["step"], 0, file_->length(table.columns["step"]));
  const auto past = [&](double step) { return !(step <= static_cast<double>(restart_step)); };
  table.rows = std::find_if(steps.begin(), steps.end(), past) - steps.begin();
  for (const auto& [name, path] : table.columns) table.rows = std::min(table.rows, file_->length(path));
  for (const auto& [name, path] : table.columns) file_->set_rows(path, table.rows);
}

void MetricsFile::add_column(Table& table, const std::string& name, int64_t width) {
  const MetricsColumn column = find_metrics_column(name);
  const std::string path = table.group + "/" + name;
  file_->make_table(path, h5::Type::float64, width, column.unit, column.help);
  table.columns[name] = path;
}

void MetricsFile::append(Table& table, const Values& values, const Vectors& vectors) {
  for (const auto& [name, value] : values) {
    if (table.columns.count(name) == 0) add_column(table, name, 0);
  }
  for (const auto& [name, vector] : vectors) {
    if (table.columns.count(name) == 0 && !vector.empty()) {
      add_column(table, name, static_cast<int64_t>(vector.size()));
    }
  }
  for (const auto& [name, path] : table.columns) file_->set_rows(path, table.rows + 1);
  for (const auto& [name, value] : values) {
    file_->write_row(table.columns[name], h5::Type::float64, table.rows, bytes_of(value));
  }
  for (const auto& [name, vector] : vectors) {
    if (vector.empty()) continue;
    file_->write_row(table.columns[name], h5::Type::float64, table.rows, std::as_bytes(std::span(vector)));
  }
  ++table.rows;
  file_->flush();
}

void MetricsFile::row(const Values& values, const Vectors& vectors) {
  EXPECT(values.count("step") > 0);
  submit([this, values, vectors] { append(training_, values, vectors); });
}

void MetricsFile::evaluation(const Values& values, const Vectors& vectors) {
  EXPECT(values.count("step") > 0);
  submit([this, values, vectors] { append(evaluation_, values, vectors); });
}

void MetricsFile::constants(const Values& values, const Vectors& vectors) {
  Vectors all = vectors;
  for (const auto& [name, value] : values) all[name] = {value};
  submit([this, all = std::move(all)] {
    for (const auto& [name, vector] : all) {
      const std::string path = "/exact/" + name;
      if (file_->has(path)) continue;
      const MetricsColumn column = find_metrics_column(name);
      file_->write<double>(path, vector, column.unit, column.help);
    }
    file_->flush();
  });
}

void MetricsFile::close() {
  if (jobs_.empty() && !file_) return;
  jobs_.push_back(io_.submit([this] {
    if (!file_) return;
    h5::File file = std::move(*file_);
    file_.reset();
    file.close();
  }));
  rethrow(true);
}

void MetricsFile::submit(std::function<void()> job) {
  rethrow(false);
  jobs_.push_back(io_.submit(std::move(job)));
}

// Looks at the jobs that are done (or, waiting, at all: none is left then); their first exception goes to the caller.
void MetricsFile::rethrow(bool wait) {
  std::exception_ptr problem;
  while (!jobs_.empty()) {
    const bool done = jobs_.front().wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    if (!wait && !done) break;
    try {
      jobs_.front().get();
    } catch (...) {
      if (!problem) problem = std::current_exception();
    }
    jobs_.pop_front();
  }
  if (problem) std::rethrow_exception(problem);
}

}  // namespace tightrope
