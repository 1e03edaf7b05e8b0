// samples.jsonl: records in words, one JSON object per line, for people and the report.  Schema: docs/hdf5.md.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tightrope/base/check.hpp"
#include "tightrope/run/recorder.hpp"

namespace tightrope {
namespace {

using Json = nlohmann::ordered_json;

// Lines of a step after `step`, and what is no line of ours, are left out.
std::string lines_until(const std::string& path, int64_t step) {
  std::string kept, line;
  std::ifstream in(path);
  while (std::getline(in, line)) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.contains("step") && json["step"].is_number() && json["step"].get<int64_t>() <= step)
      kept += line + "\n";
  }
  return kept;
}

}  // namespace

void Recorder::open_samples() const {
  const std::string path = setup_.folder + "/samples.jsonl";
  const std::string kept = setup_.restart_step < 0 ? "" : lines_until(path, setup_.restart_step);
  if (kept.empty()) {
    std::filesystem::remove(path);
  } else {
    std::ofstream(path) << kept;
  }
}

void Recorder::samples(int64_t step, const std::vector<TrajectoryNote>& notes) {
  if (notes.empty()) return;
  std::ofstream out(setup_.folder + "/samples.jsonl", std::ios::app);
  for (const TrajectoryNote& note : notes) {
    Json line = {{"step", step},
                 {"kind", note.kind},
                 {"query", note.entry.query},
                 {"id", note.entry.id},
                 {"version", note.entry.version},
                 {"length", note.entry.length},
                 {"truncated", note.truncated},
                 {"log_pf", note.log_pf},
                 {"log_ref", note.log_ref},
                 {"log_reward", note.entry.log_reward}};
    for (size_t p = 0; p < note.reward.size(); ++p) line["reward"][setup_.reward_parts[p]] = note.reward[p];
    line["text"] = note.text;
    out << line.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
  }
  VALIDATE(out.flush().good(), "cannot write " + setup_.folder + "/samples.jsonl", "the disk may be full",
           "free some space and restart with --run.restart=auto");
}

}  // namespace tightrope
