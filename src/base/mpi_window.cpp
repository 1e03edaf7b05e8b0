#include <sys/statvfs.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>

#include "mpi_call.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope::mpi {
namespace {

struct Room {
  int64_t bytes = std::numeric_limits<int64_t>::max();
  std::string where;
};

// Where Open MPI's osc/sm keeps its segments.
std::string shared_memory_directory() {
  const char* chosen = std::getenv("OMPI_MCA_osc_sm_backing_directory");
  return chosen != nullptr ? chosen : "/dev/shm";
}

Room free_shared_memory() {
  const std::string directory = shared_memory_directory();
  struct statvfs status;
  if (::statvfs(directory.c_str(), &status) != 0) return {};  // not there: the library then uses another place
  return {static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize), directory};
}

Room free_memory() {
  std::ifstream info("/proc/meminfo");
  std::string key, unit;
  for (int64_t kib = 0; info >> key >> kib; std::getline(info, unit)) {
    if (key == "MemAvailable:") return {kib * 1024, "memory"};
  }
  return {};
}

}  // namespace

void check_shared_memory(const Comm& comm, int64_t bytes_here) {
  const Comm node = comm.split_by_node();
  int64_t wanted = bytes_here;
  node.sum(std::span(&wanted, 1));
  // A window of a single rank, or over several nodes, lives in ordinary memory; else in a shared file.
  Room room = free_memory();
  if (node.size() == comm.size() && node.size() > 1) {
    const Room shared = free_shared_memory();
    if (shared.bytes < room.bytes) room = shared;
  }
  const int64_t short_here = wanted > room.bytes && node.rank() == 0 ? comm.size() - comm.rank() : 0;
  int64_t worst = short_here;
  comm.max(std::span(&worst, 1));
  if (worst == 0) return;
  const int root = comm.size() - static_cast<int>(worst);
  const std::string text =
      comm.broadcast("the windows on host " + host_name() + " want " + std::to_string(wanted) +
                         " bytes, available are " + std::to_string(room.bytes) + " in " + room.where,
                     root);
  throw Failure(text, "replay stores, lanes and weights of all ranks of a node live there",
                "make it larger (containers: --shm-size), set OMPI_MCA_osc_sm_backing_directory to a larger file "
                "system, or lower replay.bytes");
}

struct Window::Handle {
  MPI_Win win = MPI_WIN_NULL;
  std::byte* base = nullptr;
  int64_t bytes = 0;
  int rank = 0;
  std::vector<int64_t> sizes;  // bytes of every rank's part
};

Window::Window(const Comm& comm, int64_t bytes) : handle_(std::make_unique<Handle>()) {
  check_shared_memory(comm, bytes);
  Handle& h = *handle_;
  h.bytes = bytes;
  h.rank = comm.rank();
  h.sizes = comm.gather_all(bytes);
  MPI_Info info = MPI_INFO_NULL;
  check(MPI_Info_create(&info), "MPI_Info_create");
  check(MPI_Info_set(info, "same_disp_unit", "true"), "MPI_Info_set");
  const Waiting waiting("MPI_Win_allocate");
  MPI_Comm native = *static_cast<MPI_Comm*>(comm.native());
  const int made = MPI_Win_allocate(static_cast<MPI_Aint>(bytes), 1, info, native, &h.base, &h.win);
  MPI_Info_free(&info);
  check(made, "MPI_Win_allocate");
  check(MPI_Win_set_errhandler(h.win, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler");
  // Touching every page now makes a lack of memory show here and not hours later.
  if (bytes > 0) std::memset(h.base, 0, static_cast<size_t>(bytes));
  check(MPI_Win_lock_all(MPI_MODE_NOCHECK, h.win), "MPI_Win_lock_all");
  check(MPI_Win_sync(h.win), "MPI_Win_sync");
  comm.barrier();
}

Window::~Window() {
  if (!handle_ || handle_->win == MPI_WIN_NULL || std::uncaught_exceptions() > 0) return;
  const Waiting waiting("MPI_Win_free");
  MPI_Win_unlock_all(handle_->win);
  MPI_Win_free(&handle_->win);
}

std::span<std::byte> Window::local() const { return {handle_->base, static_cast<size_t>(handle_->bytes)}; }

void Window::put(int target, int64_t offset, std::span<const std::byte> bytes) {
  EXPECT(offset >= 0 && offset + static_cast<int64_t>(bytes.size()) <= handle_->sizes[static_cast<size_t>(target)]);
  in_pieces(static_cast<int64_t>(bytes.size()), 1, [&](int64_t done, int count) {
    check(MPI_Put(bytes.data() + done, count, MPI_BYTE, target, static_cast<MPI_Aint>(offset + done), count, MPI_BYTE,
                  handle_->win),
          "MPI_Put");
  });
}

void Window::get(int target, int64_t offset, std::span<std::byte> bytes) {
  EXPECT(offset >= 0 && offset + static_cast<int64_t>(bytes.size()) <= handle_->sizes[static_cast<size_t>(target)]);
  in_pieces(static_cast<int64_t>(bytes.size()), 1, [&](int64_t done, int count) {
    check(MPI_Get(bytes.data() + done, count, MPI_BYTE, target, static_cast<MPI_Aint>(offset + done), count, MPI_BYTE,
                  handle_->win),
          "MPI_Get");
  });
}

void Window::flush(int target) {
  const Waiting waiting("MPI_Win_flush");
  check(MPI_Win_flush(target, handle_->win), "MPI_Win_flush");
}

void Window::sync() { check(MPI_Win_sync(handle_->win), "MPI_Win_sync"); }

int Window::rank() const { return handle_->rank; }

}  // namespace tightrope::mpi
