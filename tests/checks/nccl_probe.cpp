// The NCCL collective on this machine: sums where there is a device, one clear sentence where there is none.
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "tightrope/base/check.hpp"
#include "tightrope/comm/collective.hpp"

namespace tightrope {
namespace {

std::unique_ptr<Collective> collective_or_reason(const mpi::Comm& world) {
  try {
    return make_nccl_collective(world);
  } catch (const Failure& failure) {
    const std::string text = failure.what();
    if (text.rfind("no CUDA device", 0) != 0) throw;
    std::printf("compiled and linked; as it should, it says: %s\n", text.c_str());
    return nullptr;
  }
}

int probe() {
  const mpi::Comm world = mpi::Comm::world();
  const auto collective = collective_or_reason(world);
  if (!collective) return 0;
  std::vector<float> values(100003);
  std::iota(values.begin(), values.end(), 0.0f);
  collective->start(values);
  collective->finish();
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] != static_cast<float>(i) * static_cast<float>(world.size())) {
      std::printf("the sum of element %zu is wrong: %g\n", i, values[i]);
      return 1;
    }
  }
  std::printf("%s sums over %d rank(s)\n", collective->name().c_str(), world.size());
  return 0;
}

}  // namespace
}  // namespace tightrope

int main(int argc, char** argv) {
  tightrope::mpi::Session session(argc, argv);
  return tightrope::mpi::guarded(tightrope::probe);
}
