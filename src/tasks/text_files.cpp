// Questions from JSON Lines.
#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <system_error>

#include "text_sources.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/core/rng.hpp"

namespace tightrope {
namespace {

using Json = nlohmann::json;

// What the parser says, without its own name and its own count of lines: "column 5: ..".
std::string reason(const Json::parse_error& error) {
  const std::string text = error.what();
  const size_t column = text.find("column ");
  return column == std::string::npos ? text : text.substr(column);
}

std::string names_of(const Json& object) {
  std::string out;
  for (const auto& item : object.items()) out += (out.empty() ? "" : ", ") + item.key();
  return out.empty() ? "no fields" : out;
}

std::string field(const Json& object, const std::string& name, const std::string& key, const std::string& where) {
  const auto found = object.find(name);
  VALIDATE(found != object.end(), where + ": the field '" + name + "' is missing", "the line has " + names_of(object),
           "set " + key + " to the right one or complete the line");
  VALIDATE(found->is_string() || found->is_number(), where + ": the field '" + name + "' is not a text",
           std::string("it is of type ") + found->type_name(), "write a text or a number");
  const std::string text = found->is_string() ? found->get<std::string>() : found->dump();
  VALIDATE(text.find_first_not_of(" \t\r\n") != std::string::npos, where + ": the field '" + name + "' is empty",
           "a question needs a text and an answer", "complete the line or remove it");
  return text;
}

Question question_of(const std::string& line, const TextDataDeck& deck, const std::string& where) {
  Json object;
  try {
    object = Json::parse(line);
  } catch (const Json::parse_error& error) {
    throw Failure(where + ": the line is not JSON", reason(error), "write one JSON object per line");
  }
  VALIDATE(object.is_object(), where + ": the line is not a JSON object",
           std::string("it is of type ") + object.type_name(), "write one JSON object per line");
  return {field(object, deck.prompt_field, "data.prompt_field", where),
          field(object, deck.answer_field, "data.answer_field", where), where};
}

std::vector<Question> read(const std::string& path, const std::string& key, const TextDataDeck& deck) {
  std::ifstream file(path);
  VALIDATE(file.is_open(), "cannot open '" + path + "'", std::generic_category().message(errno), "correct " + key);
  std::vector<Question> out;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    out.push_back(question_of(line, deck, path + ":" + std::to_string(number)));
  }
  VALIDATE(!file.bad(), "cannot read '" + path + "'", "the system reports an error", "correct " + key);
  VALIDATE(!out.empty(), "'" + path + "' holds no question", "it is empty", "correct " + key);
  return out;
}

// Drops each question whose text is in `seen`, which the others join; returns how many.
int64_t drop_seen(std::vector<Question>& questions, std::set<std::string>& seen) {
  return static_cast<int64_t>(
      std::erase_if(questions, [&](const Question& question) { return !seen.insert(question.prompt).second; }));
}

// Takes n of the questions out at random; `position` keeps draws for two purposes apart.
std::vector<Question> take(std::vector<Question>& from, int64_t n, int64_t seed, uint32_t position) {
  std::vector<double> key(from.size());
  for (size_t i = 0; i < key.size(); ++i) key[i] = uniform(static_cast<uint64_t>(seed), Stream::data, i, position);
  std::vector<size_t> order(from.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return key[i]; });
  order.resize(static_cast<size_t>(n));
  std::ranges::sort(order);
  std::vector<Question> taken, left;
  for (size_t i = 0, next = 0; i < from.size(); ++i) {
    const bool chosen = next < order.size() && order[next] == i;
    next += chosen;
    (chosen ? taken : left).push_back(std::move(from[i]));
  }
  from = std::move(left);
  return taken;
}

}  // namespace

TextData read_questions(const TextDataDeck& deck) {
  TextData data;
  data.train = read(deck.train, "data.train", deck);
  std::set<std::string> seen, seen_heldout;
  data.repeated = drop_seen(data.train, seen);
  if (!deck.heldout.empty()) {
    data.heldout = read(deck.heldout, "data.heldout", deck);
    data.repeated += drop_seen(data.heldout, seen_heldout);
    data.also_heldout = static_cast<int64_t>(
        std::erase_if(data.train, [&](const Question& question) { return seen_heldout.contains(question.prompt); }));
  }
  const int64_t split = deck.heldout.empty() ? deck.heldout_questions : 0;
  const auto there = static_cast<int64_t>(data.train.size());
  VALIDATE(split + deck.shots < there, "'" + deck.train + "' leaves no question to train on",
           std::to_string(there) + " distinct ones that are not held out, less " + std::to_string(split) +
               " for data.heldout_questions and " + std::to_string(deck.shots) + " for data.shots",
           "give more questions or lower these numbers");
  data.heldout = split > 0 ? take(data.train, split, deck.seed, 0) : std::move(data.heldout);
  data.shots = take(data.train, deck.shots, deck.shots_seed, 1);
  return data;
}

}  // namespace tightrope
