// Files, groups and errors.  Attributes and datasets: hdf5_attributes.cpp, hdf5_data.cpp.
#include "tightrope/base/hdf5.hpp"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <system_error>

#include "hdf5_handle.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope::h5 {
namespace {

// Why HDF5's last failing call failed.  Kept here because HDF5 forgets at the next call, even a close.
std::string& reason() {
  static std::string text;
  return text;
}

// Keeps the innermost message: the walk goes from there outwards.
herr_t keep_first(unsigned, const H5E_error2_t* error, void*) {
  if (reason().empty() && error->desc) reason() = error->desc;
  return 0;
}

herr_t note_failure(hid_t stack, void*) {
  reason().clear();
  H5Ewalk2(stack, H5E_WALK_UPWARD, keep_first, nullptr);
  return 0;
}

// Errors travel as exceptions, and nothing of HDF5 may run at exit: MPI is finalised by then.
void start_library() {
  static const bool started = H5dont_atexit() >= 0 && H5open() >= 0;
  // A thread-safe HDF5 (Debian's serial one is) has an error handler per thread.
  static thread_local const bool heard = H5Eset_auto2(H5E_DEFAULT, note_failure, nullptr) >= 0;
  static_cast<void>(started && heard);
}

// Files are readable while they grow (no locks), and object headers carry HDF5's own checksums (1.8 format).
Id access_list() {
  start_library();
  Id list(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_file_locking(list, 0, 1);
  H5Pset_libver_bounds(list, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
  H5Pset_fclose_degree(list, H5F_CLOSE_STRONG);
  return list;
}

// For a file that all ranks of comm write.
#ifdef H5_HAVE_PARALLEL
void share(const Id& access, const mpi::Comm& comm) {
  H5Pset_fapl_mpio(access, *static_cast<const MPI_Comm*>(comm.native()), MPI_INFO_NULL);
}
#else
void share(const Id&, const mpi::Comm&) {}
#endif

// Of groups: many links and attributes stay in the object's header, which has a checksum.  HDF5 1.10 would move more
// than eight into a heap, and crashes over a damaged one.
Id compact(hid_t kind) {
  constexpr unsigned most = 60000;
  Id list(H5Pcreate(kind), H5Pclose);
  H5Pset_link_phase_change(list, most, 0);
  H5Pset_attr_phase_change(list, most, 0);
  return list;
}

std::string parent(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// What must not be opened is refused.
Seal checked_seal(const std::string& path) {
  const std::string problem = "cannot read '" + path + "'";
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  VALIDATE(std::filesystem::exists(status), problem, "there is no such file", "check the path");
  VALIDATE(std::filesystem::is_regular_file(status), problem, "it is not a regular file", "check the path");
  Seal seal = look_at_seal(path);
  VALIDATE(seal.problem.empty(), problem, seal.problem, "restore it or choose another file");
  return seal;
}

}  // namespace

std::string last_error() {
  const std::string text = std::exchange(reason(), "");
  const std::string mark = "error message = '";
  const auto first = text.find(mark);
  if (first == std::string::npos) return text.empty() ? "HDF5 gives no reason" : text;
  const auto begin = first + mark.size();
  return text.substr(begin, text.find('\'', begin) - begin);
}

std::string library_version() {
  unsigned major = 0, minor = 0, release = 0;
  start_library();
  H5get_libversion(&major, &minor, &release);
  return "HDF5 " + std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release) +
         (parallel_library ? " (parallel)" : " (serial: one rank writes for all)");
}

void File::Handle::fail(const std::string& problem, const std::string& why) const {
  throw Failure(problem, why.empty() ? last_error() : why,
                writable ? "check that the disk has room and that the folder is writable"
                         : "restore the file or choose another one");
}

std::string File::Handle::where(const std::string& name) const { return "dataset '" + name + "' of '" + path + "'"; }

Id File::Handle::dataset(const std::string& name) const {
  Id id(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
  if (id < 0) fail("cannot open " + where(name));
  return id;
}

Id File::Handle::object(const std::string& name) const {
  Id id(H5Oopen(file, name.c_str(), H5P_DEFAULT), H5Oclose);
  if (id < 0) fail("cannot open '" + name + "' of '" + path + "'");
  return id;
}

Id& File::Handle::table(const std::string& name) {
  const auto found = tables.find(name);
  if (found != tables.end()) return found->second;
  return tables.emplace(name, dataset(name)).first->second;
}

File::File(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
File::File(File&&) noexcept = default;

File File::create(const std::string& path) {
  auto handle = std::make_unique<Handle>();
  handle->path = path;
  handle->writable = true;
  const Id access = access_list();
  handle->file = Id(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, compact(H5P_FILE_CREATE), access), H5Fclose);
  if (handle->file < 0) handle->fail("cannot create '" + path + "' in '" + parent(path) + "'");
  return File(std::move(handle));
}

File File::create(const std::string& path, const mpi::Comm& comm) {
  auto handle = std::make_unique<Handle>();
  handle->path = path;
  handle->writable = true;
  handle->comm = &comm;
  handle->sealed = true;
  const Id creation = compact(H5P_FILE_CREATE);
  H5Pset_userblock(creation, seal_bytes);
  const Id access = access_list();
  share(access, comm);
  handle->where_the_file_is([&] {
    handle->file = Id(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), H5Fclose);
    if (handle->file < 0) handle->fail("cannot create '" + path + "' in '" + parent(path) + "'");
  });
  return File(std::move(handle));
}

File File::open(const std::string& path) {
  auto handle = std::make_unique<Handle>();
  handle->path = path;
  const Id access = access_list();
  checked_seal(path);
  handle->file = Id(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose);
  if (handle->file < 0) handle->fail("cannot read '" + path + "'");
  return File(std::move(handle));
}

File File::reopen(const std::string& path) {
  auto handle = std::make_unique<Handle>();
  handle->path = path;
  const Id access = access_list();
  const Seal seal = checked_seal(path);
  handle->sealed = seal.sealed;
  handle->extents = seal.extents;  // what is added now is hashed
  handle->file = Id(H5Fopen(path.c_str(), H5F_ACC_RDWR, access), H5Fclose);
  if (handle->file < 0) handle->fail("cannot continue '" + path + "'");
  handle->writable = true;
  return File(std::move(handle));
}

// HDF5 frees half of a file that it cannot write and crashes over it in MPI_Finalize, where it closes itself: such a
// file is left open.  All that HDF5 then says there is "infinite loop closing library".
bool File::Handle::write_all() {
  const bool written = !writable || H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0;
  if (!written) file.release();
  return written;
}

File::~File() {
  if (!handle_ || handle_->file < 0) return;
  handle_->tables.clear();
  const bool collective = handle_->comm != nullptr;
  if (collective && std::uncaught_exceptions() > 0) {
    handle_->file.release();
  } else {
    handle_->write_all();
  }
}

void File::close() {
  handle_->tables.clear();
  handle_->where_the_file_is([this] {
    if (handle_->file < 0) return;
    if (!handle_->write_all()) handle_->fail("cannot write all of '" + handle_->path + "'");
    if (H5Fclose(handle_->file.release()) < 0) handle_->fail("cannot close '" + handle_->path + "'");
  });
  handle_->seal_closed_file();
}

void File::Handle::seal_closed_file() {
  if (!std::exchange(sealed, false)) return;
  if (comm) comm->barrier();  // every rank writes some of what is sealed
  const std::string problem = !comm || comm->rank() == 0 ? seal(path, extents) : "";
  if (on_all(comm, problem.empty())) return;
  fail("cannot seal '" + path + "'", problem.empty() ? "rank 0 could not" : problem);
}

void File::flush() {
  handle_->where_the_file_is([this] {
    if (!handle_->write_all()) handle_->fail("cannot write all of '" + handle_->path + "'");
  });
}

void File::make_group(const std::string& path) {
  handle_->where_the_file_is([&] { handle_->make_groups(path); });
}

void File::Handle::make_groups(const std::string& name) {
  for (size_t end = 0; end != std::string::npos;) {
    end = name.find('/', end + 1);
    const std::string group = name.substr(0, end);
    if (group.size() <= 1 || H5Lexists(file, group.c_str(), H5P_DEFAULT) > 0) continue;
    const Id made(H5Gcreate2(file, group.c_str(), H5P_DEFAULT, compact(H5P_GROUP_CREATE), H5P_DEFAULT), H5Gclose);
    if (made < 0) fail("cannot create group '" + group + "' of '" + path + "'");
  }
}

bool File::has(const std::string& path) const {
  // HDF5 answers only for the last link of a path whose groups are all there.
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    if (H5Lexists(handle_->file, path.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
  }
  return path == "/" || H5Lexists(handle_->file, path.c_str(), H5P_DEFAULT) > 0;
}

bool File::is_group(const std::string& path) const { return H5Iget_type(handle_->object(path)) == H5I_GROUP; }

std::vector<std::string> File::members(const std::string& group) const {
  const Id id = handle_->object(group);
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  if (H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names) < 0) {
    handle_->fail("cannot list group '" + group + "' of '" + handle_->path + "'");
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tightrope::h5
