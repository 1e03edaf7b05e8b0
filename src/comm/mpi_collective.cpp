#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "roll_call.hpp"
#include "tightrope/base/bfloat16.hpp"
#include "tightrope/comm/collective.hpp"

namespace tightrope {
namespace {

// Every algorithm of Open MPI's all-reduce gives all ranks the same bits (a test holds it to that).
class MpiCollective final : public Collective {
 public:
  MpiCollective(const CollectiveDeck& deck, const GradientPlan& plan, const mpi::Comm& trainers)
      : deck_(deck),
        narrow_(deck.precision == "bfloat16"),
        comm_(trainers.duplicate()),
        roll_call_(comm_, deck.timeout) {
    // With one bucket there is nothing to overlap with.
    if (deck.overlap && plan.buckets.size() > 1 && comm_.size() > 1 && mpi::thread_multiple())
      thread_ = std::thread([this] { work(); });
  }
  ~MpiCollective() override {
    stop_ = true;
    { const std::lock_guard lock(mutex_); }  // the thread is not between its look at stop_ and its wait
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

  void sum(std::span<float> values) override { start({&MpiCollective::all, values}); }
  void sum_slices(std::span<float> values) override { start({&MpiCollective::slices, values}); }
  void gather_slices(std::span<float> values) override { start({&MpiCollective::gather, values}); }
  void broadcast(std::span<float> values) override { start({&MpiCollective::from_first, values}); }

  void finish() override {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return queue_.empty(); });
    roll_call_.end_update();
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  std::string name() const override {
    return "mpi, " + deck_.precision + (thread_.joinable() ? ", on a thread of its own" : "");
  }

 private:
  struct Operation {
    void (MpiCollective::*run)(std::span<float>);
    std::span<float> values;
  };

  void start(const Operation& operation) {
    if (comm_.size() == 1) return;
    if (!thread_.joinable()) return run(operation);
    const std::lock_guard lock(mutex_);
    if (error_) return;  // finish() throws it
    queue_.push_back(operation);
    wake_.notify_one();
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      const Operation operation = queue_.front();  // it stays in the queue until it is done
      lock.unlock();
      std::exception_ptr error;
      try {
        run(operation);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      queue_.pop_front();
      if (error) queue_.clear();
      if (error) error_ = error;
      if (queue_.empty()) idle_.notify_one();
    }
  }

  // Waits for the others with naps first: a blocking call would keep a core busy that may have work.
  void run(const Operation& operation) {
    roll_call_.wait_for(roll_call_.begin());
    const bool met = comm_.meet([&] { return stop_ || roll_call_.out_of_time(); });
    if (stop_) return;
    if (!met) throw roll_call_.failure(operation.values.size());
    (this->*operation.run)(operation.values);
  }

  void all(std::span<float> values) {
    if (!narrow_) return comm_.sum(values);
    half_.resize(values.size());
    to_bfloat16(values, half_);
    comm_.sum_bfloat16(half_);
    from_bfloat16(half_, values);
  }

  void slices(std::span<float> values) {
    const auto slice = static_cast<size_t>(slice_size(static_cast<int64_t>(values.size()), comm_.size()));
    const size_t first = std::min(slice * static_cast<size_t>(comm_.rank()), values.size());
    const auto mine = values.subspan(first, std::min(slice, values.size() - first));
    if (narrow_) {
      half_.resize(values.size());
      half_slice_.resize(mine.size());
      to_bfloat16(values, half_);
      comm_.sum_slices_bfloat16(half_, slice, half_slice_);
      from_bfloat16(half_slice_, mine);
    } else {
      slice_.resize(mine.size());
      comm_.sum_slices(values, slice, slice_);
      std::ranges::copy(slice_, mine.begin());
    }
  }

  void gather(std::span<float> values) {
    comm_.gather_slices(values, static_cast<size_t>(slice_size(static_cast<int64_t>(values.size()), comm_.size())));
  }

  void from_first(std::span<float> values) { comm_.broadcast(std::as_writable_bytes(values), 0); }

  const CollectiveDeck deck_;
  const bool narrow_;
  mpi::Comm comm_;
  RollCall roll_call_;
  std::vector<float> slice_;
  std::vector<uint16_t> half_, half_slice_;

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<Operation> queue_;
  std::exception_ptr error_;
  std::atomic<bool> stop_{false};
  std::thread thread_;  // last: it uses the others
};

}  // namespace

std::unique_ptr<Collective> make_mpi_collective(const CollectiveDeck& deck, const GradientPlan& plan,
                                                const mpi::Comm& trainers) {
  return std::make_unique<MpiCollective>(deck, plan, trainers);
}

}  // namespace tightrope
