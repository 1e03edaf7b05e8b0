#pragma once
// Private to the CPU kernels: loops over LibTorch's own threads.  at::parallel_for is a plain loop in a file that is
// compiled without -fopenmp, and with it the program could get a second OpenMP runtime; this calls the one that
// LibTorch has loaded.
#include <cstdint>
#include <functional>

namespace tightrope {

// How many items of so many operations each are worth handing to another thread.
inline int64_t items_worth_a_thread(int64_t operations) { return (int64_t{1} << 17) / (operations + 1) + 1; }

// work(begin, end) over [0, count) in pieces of `piece`, on at most at::get_num_threads() threads; returns when all is
// done.  `work` must not throw.  A plain call where there is one thread, or one piece, or inside of another loop.
void parallel_pieces(int64_t count, int64_t piece, const std::function<void(int64_t begin, int64_t end)>& work);

}  // namespace tightrope
