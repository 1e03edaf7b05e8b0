#pragma once
// LibTorch's part for GPUs is a library of its own that nothing is linked with: it is loaded where a GPU is wanted.
#include <string>

namespace tightrope {

// Makes GPU `index` of those that this process sees ready, as the current one; returns what stands in the way
// ("problem (why) what to do"), "" where nothing does.
std::string open_gpu(int index);

}  // namespace tightrope
