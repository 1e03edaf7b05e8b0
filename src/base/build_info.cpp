#include "tightrope/base/build_info.hpp"

#include <xxhash.h>

#include <boost/version.hpp>

#include "build_id.hpp"  // made anew at every build: cmake/WriteBuildId.cmake

namespace tightrope {

namespace {

std::string dotted(int major, int minor, int patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

}  // namespace

std::vector<std::string> build_lines() {
  const std::string sanitizers = TIGHTROPE_SANITIZE;
  return {
      "tightrope " TIGHTROPE_VERSION ", git " TIGHTROPE_GIT,
      "build " TIGHTROPE_BUILD ", " TIGHTROPE_COMPILER ", C++" + std::to_string(__cplusplus / 100 % 100) +
          ", sanitizers: " + (sanitizers.empty() ? "none" : sanitizers),
      "libraries " TIGHTROPE_LIBRARIES ", Boost " +
          dotted(BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100) + ", xxHash " +
          dotted(XXH_VERSION_MAJOR, XXH_VERSION_MINOR, XXH_VERSION_RELEASE),
      "accelerator " TIGHTROPE_ACCELERATOR,
  };
}

}  // namespace tightrope
