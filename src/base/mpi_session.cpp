#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <vector>

#include "mpi_call.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope::mpi {
namespace {

struct Setting {
  const char* name;
  const char* value;  // nullptr: reported where the user set it, never set by us
};

// What Open MPI 4 needs.  osc: its default one-sided component crashes on compare-and-swap and does not exist across
// nodes; sm and ucx serve both.  fbtl_posix_write_datasieving: collective writes with holes are silently corrupted.
constexpr Setting settings[] = {{"OMPI_MCA_osc", "sm,ucx"},
                                {"OMPI_MCA_fbtl_posix_write_datasieving", "0"},
                                {"OMPI_MCA_osc_sm_backing_directory", nullptr},
                                {"OMPI_MCA_mpi_yield_when_idle", nullptr},
                                {"OMPI_MCA_pml", nullptr},
                                {"OMPI_MCA_btl", nullptr},
                                {"UCX_TLS", nullptr},
                                {"UCX_NET_DEVICES", nullptr}};

// What belongs to the process and not to any object: a process has one MPI.
struct Process {
  std::atomic<int64_t> step{0};
  std::atomic<const char*> waiting{""};
  std::thread::id main;
  std::vector<std::string> set_by_us;
};

Process& process() {
  static Process state;
  return state;
}

bool open_mpi_4() { return library_version().starts_with("Open MPI v4."); }

bool alive() {
  int initialized = 0, finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized && !finalized;
}

[[noreturn]] void end_job(const std::string& problem) {
  complain(problem);
  abort_job();
}

}  // namespace

std::string place() {
  int rank = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return "rank " + std::to_string(rank) + " on host " + host_name();
}

// One write, so that the lines of several ranks do not mix.
void complain(const std::string& problem) {
  if (!alive()) return;
  const std::string line = place() + " at step " + std::to_string(process().step.load()) + ": " + problem + "\n";
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // nowhere else to tell
}

void abort_job() {
  if (alive()) {
    // Should MPI_Abort itself hang, the alarm ends this process and the launcher ends the others.
    ::signal(SIGALRM, SIG_DFL);
    ::alarm(10);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  ::_exit(1);
}

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Failure(std::string(call) + " failed", text,
                "look for an earlier message of the MPI library or of another rank");
}

Session::Session(int& argc, char**& argv) {
  if (open_mpi_4()) {
    for (const Setting& s : settings) {
      if (s.value == nullptr || std::getenv(s.name) != nullptr) continue;
      ::setenv(s.name, s.value, 0);
      process().set_by_us.emplace_back(s.name);
    }
  }
  process().main = std::this_thread::get_id();
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  thread_multiple_ = provided >= MPI_THREAD_MULTIPLE;
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  VALIDATE(provided >= MPI_THREAD_SERIALIZED, "MPI allows one thread only",
           "the run needs MPI_THREAD_SERIALIZED: an I/O thread beside the loop",
           "use an MPI library that was built with thread support");
}

Session::~Session() {
  if (std::uncaught_exceptions() == 0) MPI_Finalize();
}

int guarded(const std::function<int()>& body) {
  try {
    return body();
  } catch (const std::exception& error) {
    end_job(error.what());
  } catch (...) {
    end_job("an exception of unknown type (a mistake in the program) please report it");
  }
}

void set_step(int64_t step) { process().step = step; }

Waiting::Waiting(const char* what) : before_(process().waiting.load(std::memory_order_relaxed)) {
  if (std::this_thread::get_id() == process().main) process().waiting.store(what, std::memory_order_relaxed);
}

Waiting::~Waiting() {
  if (std::this_thread::get_id() == process().main) process().waiting.store(before_, std::memory_order_relaxed);
}

const char* waiting_in() { return process().waiting.load(std::memory_order_relaxed); }

bool thread_multiple() {
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Query_thread(&provided), "MPI_Query_thread");
  return provided >= MPI_THREAD_MULTIPLE;
}

std::string library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  check(MPI_Get_library_version(text, &length), "MPI_Get_library_version");
  const std::string version(text);
  return version.substr(0, version.find_first_of(",\n"));
}

std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::vector<std::string> effective_settings() {
  std::vector<std::string> lines;
  for (const Setting& s : settings) {
    const char* value = std::getenv(s.name);
    if (value == nullptr) continue;
    bool ours = false;
    for (const std::string& name : process().set_by_us) ours = ours || name == s.name;
    lines.push_back(std::string(s.name) + "=" + value + (ours ? " (set by tightrope)" : " (set by the environment)"));
  }
  lines.push_back(std::string("thread level: ") + (thread_multiple() ? "multiple" : "serialized") +
                  " (granted by the MPI library)");
  return lines;
}

}  // namespace tightrope::mpi
