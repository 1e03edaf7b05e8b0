// How a trainer's weights come to the board.
#include <chrono>

#include "tightrope/run/trainer.hpp"

namespace tightrope {

void Trainer::publish(bool stop) {
  if (world_.trainer() != 0) return;
  if (staging_ && !lockstep_ && !stop) {
    unpublished_ = true;
    return serve_board();
  }
  const Stopwatch watch;
  if (staging_) {
    publish_now(stop);
  } else {
    const Tensor& flat = policy_->parameters.flat();
    board_.publish(steps_done(), {flat.const_data_ptr<float>(), static_cast<size_t>(flat.numel())});
    board_.set_control({steps_done(), lockstep_ ? phase_ : 0, steps_done(), stop});
  }
  interval_.publish_seconds += watch.seconds();
}

void Trainer::publish_now(bool stop) {
  if (publishing_.valid()) publishing_.get();
  staging_->start(steps_done());
  unpublished_ = false;
  const auto copy = staging_->take(/*wait=*/true);
  board_.publish(copy->version, copy->weights);
  board_.set_control({copy->version, lockstep_ ? phase_ : 0, steps_done(), stop});
}

// Moves weights on towards the board as far as they can go without waiting: one copy may be put there while another
// leaves the GPU.  Where that takes longer than an update, versions are left out, never the last.
void Trainer::serve_board() {
  if (!staging_) return;
  if (publishing_.valid() && publishing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready)
    publishing_.get();
  if (!publishing_.valid()) {
    if (const auto copy = staging_->take(/*wait=*/false)) {
      const auto put = [this, copy = *copy, step = steps_done()] {
        board_.publish(copy.version, copy.weights);
        board_.set_control({copy.version, 0, step, /*stop=*/false});
      };
      publishing_ = std::async(mpi::thread_multiple() ? std::launch::async : std::launch::deferred, put);
      if (!mpi::thread_multiple()) publishing_.get();
    }
  }
  if (!unpublished_ || staging_->waiting() + publishing_.valid() > 1) return;
  staging_->start(steps_done());
  unpublished_ = false;
}

}  // namespace tightrope
