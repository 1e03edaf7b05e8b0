#include "mpi_call.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope::mpi {

struct NodeMemory::Handle {
  explicit Handle(Comm ranks) : node(std::move(ranks)) {}
  Comm node;
  MPI_Win win = MPI_WIN_NULL;
  std::byte* base = nullptr;
  int64_t bytes = 0;
};

NodeMemory::NodeMemory(const Comm& comm, int64_t bytes, const std::function<void(std::span<std::byte>)>& fill)
    : handle_(std::make_unique<Handle>(comm.split_by_node())) {
  Handle& h = *handle_;
  h.bytes = bytes;
  const bool first = h.node.rank() == 0;
  MPI_Comm native = *static_cast<MPI_Comm*>(h.node.native());
  const Waiting waiting("MPI_Win_allocate_shared");
  check(MPI_Win_allocate_shared(static_cast<MPI_Aint>(first ? bytes : 0), 1, MPI_INFO_NULL, native, &h.base, &h.win),
        "MPI_Win_allocate_shared");
  check(MPI_Win_set_errhandler(h.win, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler");
  MPI_Aint size = 0;
  int unit = 0;
  check(MPI_Win_shared_query(h.win, 0, &size, &unit, &h.base), "MPI_Win_shared_query");
  check(MPI_Win_lock_all(MPI_MODE_NOCHECK, h.win), "MPI_Win_lock_all");
  if (first) fill({h.base, static_cast<size_t>(bytes)});
  check(MPI_Win_sync(h.win), "MPI_Win_sync");
  h.node.barrier();
  check(MPI_Win_sync(h.win), "MPI_Win_sync");
}

NodeMemory::~NodeMemory() {
  if (!handle_ || handle_->win == MPI_WIN_NULL || std::uncaught_exceptions() > 0) return;
  const Waiting waiting("MPI_Win_free");
  MPI_Win_unlock_all(handle_->win);
  MPI_Win_free(&handle_->win);
}

std::span<const std::byte> NodeMemory::bytes() const { return {handle_->base, static_cast<size_t>(handle_->bytes)}; }

}  // namespace tightrope::mpi
