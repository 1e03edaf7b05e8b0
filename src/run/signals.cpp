#include "tightrope/run/signals.hpp"

#include <signal.h>

#include <atomic>

namespace tightrope::signals {
namespace {

// Signals belong to the process, and a handler has no other way to tell.
std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free);

void note(int signal) { received = signal; }

}  // namespace

void watch() {
  for (const int signal : {SIGUSR1, SIGTERM, SIGINT}) {
    struct sigaction action {};
    action.sa_handler = note;
    action.sa_flags = SA_RESTART | (signal == SIGINT ? static_cast<int>(SA_RESETHAND) : 0);
    sigaction(signal, &action, nullptr);
  }
}

const char* stop_asked() {
  switch (received.load()) {
    case SIGUSR1:
      return "SIGUSR1";
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    default:
      return nullptr;
  }
}

}  // namespace tightrope::signals
