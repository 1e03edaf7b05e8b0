#pragma once
// Stand-ins for the parts of the CUDA runtime and of NCCL that Tightrope uses, for machines without a GPU: a library
// that tests preload, so that the program calls it instead of the real ones that it is linked with.
//
// Streams are real queues, each with a thread of its own that begins every piece of work a random time late: what does
// not wait for an event sees old bytes.  Device memory cannot be read by the host, which would crash.  NCCL's sums move
// data between processes, through a file in /dev/shm.  Whatever real CUDA or NCCL forbids, and what would be slow there
// (copies from memory that is not pinned), ends the process with a line that begins with "stand-in:".
//
// Environment: STANDIN_GPUS = how many GPUs every process sees (8 if unset), or `own`: one each, or `shared`: all the
// same one.  STANDIN_DELAY = longest delay of a piece of work, microseconds (300 if unset).  STANDIN_FAIL_AFTER = what
// standin_fail_after() is called with at the start.
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

struct CUstream_st;

namespace standin {

[[noreturn]] void refuse(const std::string& what);

// Of a device pointer: memory that this process may touch.  Refuses what is not `bytes` of one allocation.
std::byte* device_bytes(const void* pointer, size_t bytes);

// Runs on the stream's thread after all that was given to the stream before.
void enqueue(CUstream_st* stream, std::function<void()> work);

}  // namespace standin

extern "C" {
// For tests, found by dlsym.
void standin_delay(int microseconds);
void standin_fail_after(int operations);  // the next but `operations` NCCL operation here fails, for all ranks
void standin_hold(int operations);        // the next but `operations` never ends until its communicator is aborted
}
