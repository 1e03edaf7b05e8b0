#pragma once
// Private to nccl_*.cpp: every call of CUDA and NCCL goes through check(); what must be freed has an owner.
// The owners' destructors never throw: either all is in order or an error is on its way already.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <string>

#include "tightrope/base/check.hpp"

namespace tightrope {

inline void check(cudaError_t status, const char* call) {
  VALIDATE(status == cudaSuccess, std::string(call) + " failed", cudaGetErrorString(status),
           "look at the node's GPU and driver (nvidia-smi), or set collective.kind = mpi");
}

inline void check(ncclResult_t status, const char* call) {
  VALIDATE(status == ncclSuccess, std::string(call) + " failed", ncclGetErrorString(status),
           "run again with NCCL_DEBUG=INFO to see why, or set collective.kind = mpi");
}

class CudaStream {
 public:
  CudaStream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  ~CudaStream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class CudaEvent {
 public:
  CudaEvent() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags"); }
  ~CudaEvent() { static_cast<void>(cudaEventDestroy(event_)); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class DeviceBuffer {
 public:
  explicit DeviceBuffer(size_t bytes) { check(cudaMalloc(&memory_, bytes), "cudaMalloc"); }
  ~DeviceBuffer() { static_cast<void>(cudaFree(memory_)); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(memory_); }

 private:
  void* memory_ = nullptr;
};

class PinnedBuffer {
 public:
  explicit PinnedBuffer(size_t bytes) {  // 0 = none
    if (bytes > 0) check(cudaMallocHost(&memory_, bytes), "cudaMallocHost");
  }
  ~PinnedBuffer() { static_cast<void>(cudaFreeHost(memory_)); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(memory_); }

 private:
  void* memory_ = nullptr;
};

}  // namespace tightrope
