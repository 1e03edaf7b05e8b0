#include "tightrope/base/check.hpp"

namespace tightrope {

Failure::Failure(const std::string& problem, const std::string& why, const std::string& what_to_do)
    : std::runtime_error(problem + (why.empty() ? "" : " (" + why + ")") +
                         (what_to_do.empty() ? "" : " " + what_to_do)) {}

void expectation_failed(const char* condition, const char* file, int line) {
  throw std::logic_error(std::string("expectation failed: ") + condition + " at " + file + ":" + std::to_string(line) +
                         " (a mistake in the program) please report it");
}

}  // namespace tightrope
