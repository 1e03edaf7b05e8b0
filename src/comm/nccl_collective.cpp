// Compiled only with TIGHTROPE_CUDA.  Spans are host memory (the flat gradient buffer): copy in, reduce, copy back, all
// in order on one stream of its own, so that start() returns while the device works.
#include <cuda_runtime.h>
#include <nccl.h>

#include <exception>

#include "tightrope/base/check.hpp"
#include "tightrope/comm/collective.hpp"

namespace tightrope {

namespace {

void check(cudaError_t status, const char* call) {
  VALIDATE(status == cudaSuccess, std::string(call) + " failed", cudaGetErrorString(status),
           "look at the node's GPU and driver (nvidia-smi), or use the MPI collective");
}

void check(ncclResult_t status, const char* call) {
  VALIDATE(status == ncclSuccess, std::string(call) + " failed", ncclGetErrorString(status),
           "run again with NCCL_DEBUG=INFO to see why, or use the MPI collective");
}

// Device = rank among the trainers of the node (DESIGN decision 15).
void choose_device(const mpi::Comm& trainers) {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  VALIDATE(status == cudaSuccess && devices > 0, "no CUDA device for the NCCL collective",
           mpi::host_name() + ": " + (status == cudaSuccess ? "none is visible" : cudaGetErrorString(status)),
           "run the trainers on nodes with GPUs, or use the MPI collective");
  const mpi::Comm node = trainers.split_by_node();
  VALIDATE(node.size() <= devices, "more trainers than CUDA devices on a node",
           mpi::host_name() + ": " + std::to_string(node.size()) + " trainers, " + std::to_string(devices) + " devices",
           "start fewer trainers per node, or use the MPI collective");
  check(cudaSetDevice(node.rank()), "cudaSetDevice");
}

class NcclCollective final : public Collective {
 public:
  explicit NcclCollective(const mpi::Comm& trainers) {
    choose_device(trainers);
    ncclUniqueId id{};
    if (trainers.rank() == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    trainers.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    check(ncclCommInitRank(&comm_, trainers.size(), id, trainers.rank()), "ncclCommInitRank");
  }

  ~NcclCollective() override {  // never throws: the process is about to end, or an error is already on its way
    if (comm_) static_cast<void>(std::uncaught_exceptions() > 0 ? ncclCommAbort(comm_) : ncclCommDestroy(comm_));
    if (stream_) static_cast<void>(cudaStreamDestroy(stream_));
    static_cast<void>(cudaFree(device_));
  }

  void broadcast(std::span<float> values, int root) override {
    stage(values);
    check(ncclBroadcast(device_, device_, values.size(), ncclFloat, root, comm_, stream_), "ncclBroadcast");
    copy_back(values);
    finish();
  }

  void start(std::span<float> values) override {
    stage(values);
    check(ncclAllReduce(device_, device_, values.size(), ncclFloat, ncclSum, comm_, stream_), "ncclAllReduce");
    copy_back(values);
  }

  void finish() override { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

  std::string name() const override {
    int version = 0;
    check(ncclGetVersion(&version), "ncclGetVersion");
    return "nccl " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
  }

 private:
  void stage(std::span<float> values) {
    if (values.size() > room_) {
      finish();  // a reduction under way may still use the old buffer
      check(cudaFree(device_), "cudaFree");
      device_ = nullptr;
      room_ = 0;
      check(cudaMalloc(reinterpret_cast<void**>(&device_), values.size_bytes()), "cudaMalloc");
      room_ = values.size();
    }
    check(cudaMemcpyAsync(device_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice, stream_), "copy in");
  }

  void copy_back(std::span<float> values) {
    check(cudaMemcpyAsync(values.data(), device_, values.size_bytes(), cudaMemcpyDeviceToHost, stream_), "copy back");
  }

  ncclComm_t comm_ = nullptr;
  cudaStream_t stream_ = nullptr;
  float* device_ = nullptr;  // grows to the longest span
  size_t room_ = 0;          // floats
};

}  // namespace

std::unique_ptr<Collective> make_nccl_collective(const mpi::Comm& trainers) {
  return std::make_unique<NcclCollective>(trainers);
}

}  // namespace tightrope
