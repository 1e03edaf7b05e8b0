#include "roll_call.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>

namespace tightrope {
namespace {

constexpr auto kShort = std::chrono::milliseconds(1);  // waits below cost nothing but a look at the clock

int64_t word_of(const mpi::Window& window, int trainer) {
  auto* const words = reinterpret_cast<int64_t*>(window.local().data());
  return std::atomic_ref(words[trainer]).load();
}

std::string list_of(const std::vector<int>& ranks) {
  constexpr size_t kShown = 8;
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < std::min(ranks.size(), kShown); ++i) text += (i > 0 ? ", " : "") + std::to_string(ranks[i]);
  return text + (ranks.size() > kShown ? " and " + std::to_string(ranks.size() - kShown) + " more" : "");
}

}  // namespace

RollCall::RollCall(const mpi::Comm& trainers, double seconds)
    : comm_(trainers.duplicate()),
      window_(comm_, static_cast<int64_t>(sizeof(int64_t)) * comm_.size()),
      seconds_(seconds) {}

void RollCall::wait_for(int64_t operation) {
  awaited_ = operation;
  since_ = Clock::now();
  end_ = since_ + seconds_;
}

bool RollCall::out_of_time() {
  const Time now = Clock::now();
  if (now - since_ < kShort) return false;
  comm_.poll();  // the others' words come in
  const bool answered = !answers_.empty() && answers_.back() > awaited_;
  if (!answered && (now - since_ > seconds_ / 2 || others_called())) {
    answer();
    end_ = std::max(end_, now + seconds_ / 2);  // the others' time to answer, where this process slept
  }
  return now > end_;
}

bool RollCall::others_called() {
  window_.sync();
  for (int r = 0; r < comm_.size(); ++r)
    if (word_of(window_, r) > awaited_) return true;
  return false;
}

void RollCall::answer() {
  answers_.push_back(begun_);
  for (int r = 0; r < comm_.size(); ++r)
    window_.put(r, static_cast<int64_t>(sizeof(int64_t)) * comm_.rank(), std::as_bytes(std::span(&answers_.back(), 1)));
}

std::vector<int> RollCall::missing() {
  window_.sync();
  std::vector<int> ranks;
  for (int r = 0; r < comm_.size(); ++r)
    if (r != comm_.rank() && word_of(window_, r) <= awaited_) ranks.push_back(r);
  return ranks;
}

Failure RollCall::failure(size_t values) {
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%g s", seconds_.count());
  const std::vector<int> late = missing();
  const std::string ranks = list_of(late), verb = late.size() > 1 ? " have" : " has";
  return {"bucket " + std::to_string(awaited_ - update_) + " of this update was not exchanged within " + seconds,
          std::to_string(values) + " values; " +
              (late.empty() ? "all trainers have come to it" : ranks + verb + " not come to it"),
          (late.empty() ? "look at the network between them" : "look for an earlier message of " + ranks) +
              ", or raise collective.timeout"};
}

}  // namespace tightrope
