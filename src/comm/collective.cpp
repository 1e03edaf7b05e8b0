#include "tightrope/comm/collective.hpp"

namespace tightrope {
namespace {

// start() already does all the work: MPI's non-blocking all-reduce moves only inside MPI calls, so that there is
// nothing to overlap with here.  finish() is then free; a stream-ordered backend differs in just that.
class MpiCollective final : public Collective {
 public:
  explicit MpiCollective(const mpi::Comm& trainers) : comm_(trainers.duplicate()) {}

  void broadcast(std::span<float> values, int root) override {
    if (comm_.size() > 1) comm_.broadcast(std::as_writable_bytes(values), root);
  }
  // Every algorithm of Open MPI's all-reduce gives all ranks the same bits (a test holds it to that).
  void start(std::span<float> values) override {
    if (comm_.size() > 1) comm_.sum(values);
  }
  void finish() override {}
  std::string name() const override { return "mpi"; }

 private:
  mpi::Comm comm_;
};

}  // namespace

std::unique_ptr<Collective> make_mpi_collective(const mpi::Comm& trainers) {
  return std::make_unique<MpiCollective>(trainers);
}

}  // namespace tightrope
