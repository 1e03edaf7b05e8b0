#include "tightrope/core/gpu_part.hpp"

#include <ATen/ATen.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>

namespace tightrope {

std::string open_gpu(int index) {
  const std::string advice =
      "set LIBTORCH_ROOT to a LibTorch with CUDA when building (docs/running.md), or set world.device = cpu";
  // Found beside libtorch_cpu.so, by the program's RPATH.
  if (!::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) {
    const char* const why = ::dlerror();
    return std::string("this LibTorch cannot compute on GPUs (") + (why ? why : "no libtorch_cuda.so") + ") " + advice;
  }
  try {
    const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(index));
    at::zeros({1}, at::TensorOptions(device)).add_(1).item();  // wakes it up
    c10::impl::getDeviceGuardImpl(at::kCUDA)->setDevice(device);
    return "";
  } catch (const c10::Error& error) {
    return "GPU " + std::to_string(index) + " does not work with this LibTorch (" + error.what_without_backtrace() +
           ") look at the node's GPU and driver (nvidia-smi), or set world.device = cpu";
  }
}

}  // namespace tightrope
