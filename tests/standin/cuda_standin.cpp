// Devices, memory, streams and events.
#include <cuda_runtime_api.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "standin.hpp"

struct CUevent_st {
  std::mutex mutex;
  std::condition_variable changed;
  int64_t recorded = 0, reached = 0;  // records asked for, and the last that its stream came to
};

// The thread takes work in order.  Destroyed handles stay in memory, so that their use is found.
struct CUstream_st {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> work;
  bool stop = false, busy = false;
  std::thread thread;

  void run();
  void drain() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return work.empty() && !busy; });
  }
};

namespace standin {
namespace {

struct Device {
  std::mutex mutex;
  std::map<const std::byte*, std::pair<std::byte*, size_t>> memory;  // what the program has -> what we have, bytes
  std::map<const std::byte*, size_t> pinned;
  std::set<cudaStream_t> streams;
  std::map<cudaEvent_t, std::shared_ptr<CUevent_st>> events;
};

Device& device() {
  static auto* const state = new Device;  // it outlives every thread
  return *state;
}

std::atomic<int> longest_delay{std::getenv("STANDIN_DELAY") ? std::atoi(std::getenv("STANDIN_DELAY")) : 300};

std::string gpus() { return std::getenv("STANDIN_GPUS") ? std::getenv("STANDIN_GPUS") : "8"; }

int gpu_count() { return gpus() == "own" || gpus() == "shared" ? 1 : std::atoi(gpus().c_str()); }

// The start and length of what `pointer` lies in, in a map from starts to lengths; nothing where it lies in none.
template <class Map, class Length>
auto find(Map& map, const void* pointer, size_t bytes, Length length) {
  const auto* const at = static_cast<const std::byte*>(pointer);
  auto found = map.upper_bound(at);
  if (found == map.begin()) return map.end();
  --found;
  return at + bytes <= found->first + length(found->second) ? found : map.end();
}

std::shared_ptr<CUevent_st> live(cudaEvent_t event) {
  const std::lock_guard lock(device().mutex);
  const auto found = device().events.find(event);
  if (found == device().events.end()) refuse("an event is used that does not exist (any more)");
  return found->second;
}

cudaStream_t new_stream() {
  auto* const stream = new CUstream_st;
  stream->thread = std::thread([stream] { stream->run(); });
  const std::lock_guard lock(device().mutex);
  device().streams.insert(stream);
  return stream;
}

// Null is the default stream, which waits for no other, as all others are made with cudaStreamNonBlocking.
cudaStream_t live(cudaStream_t stream) {
  static cudaStream_t const standard = new_stream();
  if (stream == nullptr) return standard;
  const std::lock_guard lock(device().mutex);
  if (!device().streams.contains(stream)) refuse("a stream is used that does not exist (any more)");
  return stream;
}

void drain_all() {
  std::set<cudaStream_t> streams;
  {
    const std::lock_guard lock(device().mutex);
    streams = device().streams;
  }
  for (cudaStream_t stream : streams) stream->drain();
}

bool pinned(const void* pointer, size_t bytes) {
  const std::lock_guard lock(device().mutex);
  return find(device().pinned, pointer, bytes, [](size_t length) { return length; }) != device().pinned.end();
}

}  // namespace

void refuse(const std::string& what) {
  const std::string line = "stand-in: " + what + "\n";
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) std::abort();
  std::abort();
}

std::byte* device_bytes(const void* pointer, size_t bytes) {
  const std::lock_guard lock(device().mutex);
  const auto found = find(device().memory, pointer, bytes, [](const auto& ours) { return ours.second; });
  if (found == device().memory.end()) refuse("device memory is used that was not allocated, or beyond its end");
  return found->second.first + (static_cast<const std::byte*>(pointer) - found->first);
}

void enqueue(cudaStream_t handle, std::function<void()> work) {
  cudaStream_t const stream = live(handle);
  const std::lock_guard lock(stream->mutex);
  stream->work.push_back(std::move(work));
  stream->changed.notify_all();
}

}  // namespace standin

using namespace standin;

void CUstream_st::run() {
  static std::atomic<unsigned> seeds{static_cast<unsigned>(::getpid())};
  std::minstd_rand random(seeds++);
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [this] { return stop || !work.empty(); });
    if (work.empty()) return;
    const auto next = std::move(work.front());
    work.pop_front();
    busy = true;
    lock.unlock();
    ::usleep(static_cast<unsigned>(random()) % static_cast<unsigned>(longest_delay + 1));
    next();
    lock.lock();
    busy = false;
    changed.notify_all();
  }
}

extern "C" {

void standin_delay(int microseconds) { longest_delay = microseconds; }

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorNoDevice ? "no CUDA-capable device is detected (stand-in)" : "an error of the stand-in";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = gpu_count();
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int gpu) { return gpu >= 0 && gpu < gpu_count() ? cudaSuccess : cudaErrorInvalidDevice; }

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int gpu) {
  if (gpu < 0 || gpu >= gpu_count()) return cudaErrorInvalidDevice;
  const char* rank = std::getenv("OMPI_COMM_WORLD_LOCAL_RANK");
  std::snprintf(text, static_cast<size_t>(length), "0000:%02x:00.0",
                static_cast<unsigned>(gpus() == "own" && rank ? std::atoi(rank) : gpu));
  return cudaSuccess;
}

// Mapped twice: without any right for the program, with all for us.
cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  const int file = ::memfd_create("standin", 0);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(bytes)) != 0) return cudaErrorMemoryAllocation;
  void* const theirs = ::mmap(nullptr, bytes, PROT_NONE, MAP_SHARED, file, 0);
  void* const ours = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (theirs == MAP_FAILED || ours == MAP_FAILED) return cudaErrorMemoryAllocation;
  const std::lock_guard lock(device().mutex);
  device().memory[static_cast<std::byte*>(theirs)] = {static_cast<std::byte*>(ours), bytes};
  *pointer = theirs;
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  drain_all();
  const std::lock_guard lock(device().mutex);
  const auto found = device().memory.find(static_cast<std::byte*>(pointer));
  if (found == device().memory.end()) refuse("cudaFree of what cudaMalloc did not give");
  ::munmap(found->second.first, found->second.second);
  ::munmap(pointer, found->second.second);
  device().memory.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  *pointer = std::malloc(bytes);
  const std::lock_guard lock(device().mutex);
  device().pinned[static_cast<std::byte*>(*pointer)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  drain_all();
  const std::lock_guard lock(device().mutex);
  if (device().pinned.erase(static_cast<std::byte*>(pointer)) == 0) refuse("cudaFreeHost of what is not pinned");
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (kind != cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (bytes == 0) return cudaSuccess;
  const auto reach = [bytes](const void* pointer) {  // what is not pinned must be the device's
    return pinned(pointer, bytes) ? const_cast<void*>(pointer) : device_bytes(pointer, bytes);
  };
  void* const target = reach(to);
  const void* const source = reach(from);
  enqueue(stream, [=] { std::memcpy(target, source, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = flags == cudaStreamNonBlocking ? new_stream() : nullptr;
  return *stream == nullptr ? cudaErrorInvalidValue : cudaSuccess;
}

// What was given to it is still done.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  live(stream);
  {
    const std::lock_guard lock(stream->mutex);
    stream->stop = true;
    stream->changed.notify_all();
  }
  stream->thread.join();
  const std::lock_guard lock(device().mutex);
  device().streams.erase(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t handle, unsigned /*flags*/) {
  const auto event = live(handle);
  int64_t until = 0;
  {
    const std::lock_guard lock(event->mutex);
    until = event->recorded;  // as of now: later records do not matter
  }
  enqueue(stream, [event, until] {
    std::unique_lock lock(event->mutex);
    event->changed.wait(lock, [&] { return event->reached >= until; });
  });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned /*flags*/) {
  const auto event = std::make_shared<CUevent_st>();
  *handle = event.get();
  const std::lock_guard lock(device().mutex);
  device().events[*handle] = event;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  live(handle);
  const std::lock_guard lock(device().mutex);
  device().events.erase(handle);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream) {
  const auto event = live(handle);
  int64_t record = 0;
  {
    const std::lock_guard lock(event->mutex);
    record = ++event->recorded;
  }
  enqueue(stream, [event, record] {
    const std::lock_guard lock(event->mutex);
    event->reached = record;
    event->changed.notify_all();
  });
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  const auto event = live(handle);
  const std::lock_guard lock(event->mutex);
  return event->reached == event->recorded ? cudaSuccess : cudaErrorNotReady;
}

}  // extern "C"
