#pragma once
// MPI, wrapped once: session, communicators, one-sided windows, the progress thread and the self-probe.
// Only this file's source and comm/ name MPI.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace tightrope::mpi {

// First in, last out.  Sets, before MPI_Init and never over the user's choice, what Open MPI 4.1 needs
// (OMPI_MCA_osc=sm,ucx; OMPI_MCA_fbtl_posix_write_datasieving=0; mpi_yield_when_idle where ranks outnumber cores
// is left to the launcher), asks for THREAD_MULTIPLE and installs an error handler that throws.
class Session {
 public:
  Session(int& argc, char**& argv);
  ~Session();  // MPI_Finalize, unless an exception unwinds
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  bool thread_multiple() const { return thread_multiple_; }

 private:
  bool thread_multiple_ = false;
};

// Runs body; an exception that escapes it is printed with rank, host and step, and ends the whole job
// (MPI_Abort, exit code 1).  Returns what body returns.
int guarded(const std::function<int()>& body);
void set_step(int64_t step);                // for the message of guarded(); any thread
std::string place();                        // "rank 3 on host n1"; any thread
void complain(const std::string& problem);  // one line on stderr, with place() and step; any thread
[[noreturn]] void abort_job();              // MPI_Abort, exit code 1; any thread

// Names the wait that this rank's main thread is about to enter, for a watchdog: "MPI_Barrier", "lane 3 is full".
// `what` must be a literal or outlive the scope.  The calls below that can block do this themselves; of other threads
// nothing is noted.
class Waiting {
 public:
  explicit Waiting(const char* what);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  const char* before_;
};
const char* waiting_in();  // any thread; "" outside of waits

bool thread_multiple();         // whether MPI gave MPI_THREAD_MULTIPLE
std::string library_version();  // one line
std::string host_name();
// "OMPI_MCA_osc=sm,ucx (set by tightrope)" ...: one line per setting that matters here.
std::vector<std::string> effective_settings();

// A communicator, owned.  All calls are collective over it unless marked local.
class Comm {
 public:
  static Comm world();  // a duplicate of MPI_COMM_WORLD
  Comm duplicate() const;
  Comm split(int color, int key) const;  // color < 0: this rank is in none; then size() is 0
  Comm split_by_node() const;            // ranks that share memory
  Comm(Comm&&) noexcept;
  Comm& operator=(Comm&&) noexcept;
  ~Comm();

  int rank() const { return rank_; }  // local
  int size() const { return size_; }  // local
  void barrier() const;
  void broadcast(std::span<std::byte> bytes, int root) const;
  std::string broadcast(const std::string& text, int root) const;
  void sum(std::span<double> values) const;  // in place, on all ranks
  void sum(std::span<int64_t> values) const;
  void max(std::span<int64_t> values) const;
  void sum(std::span<float> values) const;
  void sum_bfloat16(std::span<uint16_t> values) const;  // every addition is rounded to the nearest
  // `values` are cut into size() slices of `slice` values, the last ones shorter or empty, at most 2^31 in all.
  // sum_slices: mine = this rank's slice of the sum.  gather_slices: in place, each rank's own slice to all.
  void sum_slices(std::span<const float> values, size_t slice, std::span<float> mine) const;
  void sum_slices_bfloat16(std::span<const uint16_t> values, size_t slice, std::span<uint16_t> mine) const;
  void gather_slices(std::span<float> values, size_t slice) const;
  // Until every rank has come here, without keeping a core from others for long.  False where give_up() said so
  // before: then the communicator is of no more use.
  bool meet(const std::function<bool()>& give_up) const;
  std::vector<int64_t> gather_all(int64_t value) const;
  std::vector<std::string> gather(const std::string& text, int root) const;  // empty off root
  std::string first(const std::string& text) const;  // of the lowest rank that has one, on all; "" where none has
  void send(std::span<const std::byte> bytes, int to) const;  // local; waits for the receive of as many bytes
  void receive(std::span<std::byte> bytes, int from) const;   // local; in the order in which they are sent
  void poll() const;     // local: enters MPI once, so that one-sided operations at this rank move
  void* native() const;  // address of the MPI_Comm, for comm/ and base/hdf5

 private:
  Comm();
  struct Handle;
  std::unique_ptr<Handle> handle_;
  int rank_ = 0, size_ = 0;
};

// Collective.  Throws the same Failure on all ranks where the memory that windows live in cannot
// hold `bytes_here` of every rank of the node: /dev/shm (or OMPI_MCA_osc_sm_backing_directory) where ranks share a
// node, the free memory of the node always.  Call it once with the sum over all windows before any is made.
void check_shared_memory(const Comm& comm, int64_t bytes_here);

// One-sided memory, one for the life of its owner: MPI_Win_allocate with one lock_all(NOCHECK).
// Offsets are bytes.  put and get are complete at both ends after flush(target).
class Window {
 public:
  Window(const Comm& comm, int64_t bytes);  // collective; zero-filled; throws Failure where /dev/shm is too small
  ~Window();                                // collective, a no-op while an exception unwinds
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  std::span<std::byte> local() const;  // this rank's part
  void put(int target, int64_t offset, std::span<const std::byte> bytes);
  void get(int target, int64_t offset, std::span<std::byte> bytes);  // completes with flush
  void flush(int target);
  void sync();  // orders this rank's own loads and stores with the window
  int rank() const;

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

// Memory that the ranks of a node read alike, once per node: a shared window of the node's first rank.
class NodeMemory {
 public:
  // Collective; `fill` runs on the first rank of each node, and the others wait for it.
  NodeMemory(const Comm& comm, int64_t bytes, const std::function<void(std::span<std::byte>)>& fill);
  ~NodeMemory();  // collective, a no-op while an exception unwinds
  NodeMemory(const NodeMemory&) = delete;
  NodeMemory& operator=(const NodeMemory&) = delete;

  std::span<const std::byte> bytes() const;

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

// What one-sided operations do while their target computes outside MPI (decision 8).
struct Passivity {
  bool passive = true;
  double idle_us = 0, busy_us = 0;  // median time of put + flush to an idle and to a busy target
};
Passivity probe_passivity(const Comm& comm);  // collective, about 50 ms; the same answer on all ranks

// Polls MPI every 50 us from a thread of its own, on its own communicator; needs THREAD_MULTIPLE.
class Progress {
 public:
  explicit Progress(const Comm& comm);  // collective
  ~Progress();

 private:
  Comm comm_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace tightrope::mpi
