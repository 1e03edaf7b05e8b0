// tightrope-inspect FILE: what is in a checkpoint or a metrics.h5, with every checksum verified; or what differs.
#include <boost/program_options.hpp>

#include <cstdio>
#include <iostream>

#include "inspect/difference.hpp"
#include "inspect/listing.hpp"

namespace {

using namespace tightrope;
namespace options = boost::program_options;

constexpr const char* kUsage =
    "usage: tightrope-inspect FILE [--deck]                  exit code 0 whole, 1 damaged, 2 not readable\n"
    "       tightrope-inspect --diff A B [--ignore NAME]...  exit code 0 equal, 1 different, 2 not readable\n";

int inspect_one(const std::string& path, bool deck) {
  const auto listing = inspect::list(h5::File::open(path), deck);
  std::printf("%s\n%s", path.c_str(), listing.text.c_str());
  std::fflush(stdout);
  for (const std::string& sentence : listing.damage) std::fprintf(stderr, "tightrope-inspect: %s\n", sentence.c_str());
  return listing.damage.empty() ? 0 : 1;
}

int compare(const std::string& first, const std::string& second, const std::vector<std::string>& ignored) {
  const auto lines = inspect::differences(h5::File::open(first), h5::File::open(second),
                                          std::set<std::string>(ignored.begin(), ignored.end()));
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  return lines.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> files, ignored;
  options::options_description visible("options"), all;
  visible.add_options()("help", "this")("deck", "print the whole deck")("diff", "what differs between two checkpoints")(
      "ignore", options::value(&ignored), "an attribute, a deck's key or a dataset that is not compared");
  all.add(visible).add_options()("files", options::value(&files));
  options::positional_options_description places;
  places.add("files", -1);
  try {
    options::variables_map given;
    options::store(options::command_line_parser(argc, argv).options(all).positional(places).run(), given);
    options::notify(given);
    const bool diff = given.count("diff") > 0;
    if (given.count("help") || files.size() != (diff ? 2 : 1)) {
      (given.count("help") ? std::cout : std::cerr) << kUsage << visible;
      return given.count("help") ? 0 : 2;
    }
    return diff ? compare(files[0], files[1], ignored) : inspect_one(files[0], given.count("deck") > 0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tightrope-inspect: %s\n", error.what());
    return 2;
  }
}
