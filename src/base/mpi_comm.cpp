#include <numeric>
#include <utility>

#include "mpi_call.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope::mpi {
namespace {

void describe(MPI_Comm comm, int& rank, int& size) {
  rank = size = 0;
  if (comm == MPI_COMM_NULL) return;
  check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
}

}  // namespace

Comm::Comm() : handle_(std::make_unique<Handle>()) {}
Comm::Comm(Comm&& other) noexcept
    : handle_(std::move(other.handle_)), rank_(std::exchange(other.rank_, 0)), size_(std::exchange(other.size_, 0)) {}

Comm& Comm::operator=(Comm&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(rank_, other.rank_);
  std::swap(size_, other.size_);
  return *this;
}

Comm::~Comm() {
  if (!handle_ || handle_->comm == MPI_COMM_NULL || std::uncaught_exceptions() > 0) return;
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!finalized) MPI_Comm_free(&handle_->comm);
}

Comm Comm::world() {
  Comm made;
  check(MPI_Comm_dup(MPI_COMM_WORLD, &made.handle_->comm), "MPI_Comm_dup");
  describe(made.handle_->comm, made.rank_, made.size_);
  return made;
}

Comm Comm::duplicate() const {
  Comm made;
  if (size_ == 0) return made;  // a rank outside a split stays outside
  check(MPI_Comm_dup(handle_->comm, &made.handle_->comm), "MPI_Comm_dup");
  describe(made.handle_->comm, made.rank_, made.size_);
  return made;
}

Comm Comm::split(int color, int key) const {
  Comm made;
  check(MPI_Comm_split(handle_->comm, color < 0 ? MPI_UNDEFINED : color, key, &made.handle_->comm), "MPI_Comm_split");
  describe(made.handle_->comm, made.rank_, made.size_);
  return made;
}

Comm Comm::split_by_node() const {
  Comm made;
  check(MPI_Comm_split_type(handle_->comm, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &made.handle_->comm),
        "MPI_Comm_split_type");
  describe(made.handle_->comm, made.rank_, made.size_);
  return made;
}

void Comm::barrier() const {
  const Waiting waiting("MPI_Barrier");
  check(MPI_Barrier(handle_->comm), "MPI_Barrier");
}

void Comm::broadcast(std::span<std::byte> bytes, int root) const {
  const Waiting waiting("MPI_Bcast");
  in_pieces(static_cast<int64_t>(bytes.size()), 1, [&](int64_t offset, int count) {
    check(MPI_Bcast(bytes.data() + offset, count, MPI_BYTE, root, handle_->comm), "MPI_Bcast");
  });
}

std::string Comm::broadcast(const std::string& text, int root) const {
  int64_t length = static_cast<int64_t>(text.size());
  broadcast(std::as_writable_bytes(std::span(&length, 1)), root);
  std::string received = rank_ == root ? text : std::string(static_cast<size_t>(length), '\0');
  broadcast(std::as_writable_bytes(std::span(received)), root);
  return received;
}

std::vector<int64_t> Comm::gather_all(int64_t value) const {
  const Waiting waiting("MPI_Allgather");
  std::vector<int64_t> values(static_cast<size_t>(size_));
  check(MPI_Allgather(&value, 1, MPI_INT64_T, values.data(), 1, MPI_INT64_T, handle_->comm), "MPI_Allgather");
  return values;
}

std::string Comm::first(const std::string& text) const {
  int64_t worst[1] = {text.empty() ? 0 : size() - rank_};
  max(worst);
  return worst[0] == 0 ? "" : broadcast(text, size() - static_cast<int>(worst[0]));
}

std::vector<std::string> Comm::gather(const std::string& text, int root) const {
  const std::vector<int64_t> lengths = gather_all(static_cast<int64_t>(text.size()));
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  VALIDATE(total <= piece_bytes, "a gather of " + std::to_string(total) + " bytes of text is too long",
           "1 GiB is the most that one call moves", "gather less at a time");
  std::vector<int> counts(lengths.begin(), lengths.end()), starts(lengths.size(), 0);
  std::partial_sum(counts.begin(), counts.end() - 1, starts.begin() + 1);
  std::string all(rank_ == root ? static_cast<size_t>(total) : 0, '\0');
  const Waiting waiting("MPI_Gatherv");
  check(MPI_Gatherv(text.data(), static_cast<int>(text.size()), MPI_CHAR, all.data(), counts.data(), starts.data(),
                    MPI_CHAR, root, handle_->comm),
        "MPI_Gatherv");
  std::vector<std::string> texts;
  for (size_t r = 0; rank_ == root && r < counts.size(); ++r) {
    texts.push_back(all.substr(static_cast<size_t>(starts[r]), static_cast<size_t>(counts[r])));
  }
  return texts;
}

void Comm::send(std::span<const std::byte> bytes, int to) const {
  const Waiting waiting("MPI_Send");
  in_pieces(static_cast<int64_t>(bytes.size()), 1, [&](int64_t offset, int count) {
    check(MPI_Send(bytes.data() + offset, count, MPI_BYTE, to, 0, handle_->comm), "MPI_Send");
  });
}

void Comm::receive(std::span<std::byte> bytes, int from) const {
  const Waiting waiting("MPI_Recv");
  in_pieces(static_cast<int64_t>(bytes.size()), 1, [&](int64_t offset, int count) {
    check(MPI_Recv(bytes.data() + offset, count, MPI_BYTE, from, 0, handle_->comm, MPI_STATUS_IGNORE), "MPI_Recv");
  });
}

void Comm::poll() const {
  int found = 0;
  check(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, handle_->comm, &found, MPI_STATUS_IGNORE), "MPI_Iprobe");
}

void* Comm::native() const { return &handle_->comm; }

}  // namespace tightrope::mpi
