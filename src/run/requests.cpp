// What the outside asks of a run while it goes on: signals, the files STOP and CHECKPOINT, the end of its time.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tightrope/base/check.hpp"
#include "tightrope/run/run.hpp"
#include "tightrope/run/signals.hpp"

namespace tightrope {
namespace {

constexpr const char* wall_time = "run.wall_time";
constexpr double kLookEvery = 1;  // seconds between two looks at the folder: a file system may be far away

// Whether the file was there; it is removed.
bool take_file(const std::string& path) {
  const bool taken = std::remove(path.c_str()) == 0;
  VALIDATE(taken || errno == ENOENT, "cannot remove '" + path + "'", std::strerror(errno),
           "it asks the run for something: remove it by hand and check the permissions of the folder");
  return taken;
}

}  // namespace

// Trainer 0 looks for all; a signal may come to any rank.
Request Run::asked() {
  Request request;
  const char* const signal = signals::stop_asked();
  if (signal) stop_reason_ = signal;
  request.interrupt = signal != nullptr;
  if (!recorder_) return request;
  if (time_is_up()) {
    stop_reason_ = wall_time;
    request.interrupt = true;
  }
  const double now = started_.seconds();
  if (now - last_look_ < kLookEvery) return request;
  last_look_ = now;
  recorder_->take_reports(window_);
  request.interrupt = request.interrupt || recorder_->stop_asked();
  request.finish = take_file(folder_ + "/STOP");
  const double minutes = deck_.get<CheckpointDeck>().minutes;
  request.checkpoint = take_file(folder_ + "/CHECKPOINT");
  if (minutes > 0 && now - last_checkpoint_seconds_ >= 60 * minutes) request.checkpoint = true;
  return request;
}

// The last moment at which the longest update so far and a checkpoint still fit.
bool Run::time_is_up() const {
  const double limit = deck_.get<RunDeck>().wall_time;
  return limit > 0 && started_.seconds() + longest_update_ + checkpoint_seconds() > limit;
}

// Trainer 0 knows the time.  An update makes progress, if only one.
bool Run::too_short() const {
  return stop_reason_ == wall_time && trainer_->steps_done() == std::max<int64_t>(start_.step, 0);
}

// What the trainers have agreed on.
void Run::answer() {
  if (!trainer_->at_boundary() || !trainer_->agreed().checkpoint) return;
  trainer_->answered();
  checkpoint();
}

}  // namespace tightrope
