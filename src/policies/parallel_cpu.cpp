#include "tightrope/policies/parallel_cpu.hpp"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>

namespace tightrope {
namespace {

// What every OpenMP runtime offers to code of GCC: run(data) on that many threads.
using Launch = void (*)(void (*run)(void* data), void* data, unsigned threads, unsigned flags);

Launch launch() {
  static const auto found = reinterpret_cast<Launch>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return found;
}

struct Loop {
  int64_t count, piece;
  const std::function<void(int64_t, int64_t)>& work;
  std::atomic<int64_t> next = 0;
};

void take_pieces(void* data) {
  Loop& loop = *static_cast<Loop*>(data);
  const c10::ParallelGuard guard(true);
  for (;;) {
    const int64_t begin = loop.next.fetch_add(loop.piece, std::memory_order_relaxed);
    if (begin >= loop.count) return;
    loop.work(begin, std::min(loop.count, begin + loop.piece));
  }
}

}  // namespace

void parallel_pieces(int64_t count, int64_t piece, const std::function<void(int64_t begin, int64_t end)>& work) {
  if (count <= 0) return;
  const int64_t pieces = (count + piece - 1) / piece, threads = std::min<int64_t>(at::get_num_threads(), pieces);
  if (threads <= 1 || at::in_parallel_region() || launch() == nullptr) return work(0, count);
  Loop loop{count, piece, work};
  launch()(take_pieces, &loop, static_cast<unsigned>(threads), 0);
}

}  // namespace tightrope
