#pragma once
// Errors.  Every message a user sees has one grammar: problem (why) what to do.
#include <stdexcept>
#include <string>

namespace tightrope {

// A condition of the outside world (deck, file, machine, environment) that ends the run.
class Failure : public std::runtime_error {
 public:
  Failure(const std::string& problem, const std::string& why, const std::string& what_to_do);
};

// A broken promise between two pieces of this program.
[[noreturn]] void expectation_failed(const char* condition, const char* file, int line);

}  // namespace tightrope

// Always checked: decks, files, the environment.
#define VALIDATE(condition, problem, why, what_to_do)                             \
  do {                                                                            \
    if (!(condition)) throw ::tightrope::Failure((problem), (why), (what_to_do)); \
  } while (false)

// Checked in debug and sanitizer builds: programmer mistakes.
#ifdef NDEBUG
#define EXPECT(condition) static_cast<void>(0)
#else
#define EXPECT(condition)                                                              \
  do {                                                                                 \
    if (!(condition)) ::tightrope::expectation_failed(#condition, __FILE__, __LINE__); \
  } while (false)
#endif
