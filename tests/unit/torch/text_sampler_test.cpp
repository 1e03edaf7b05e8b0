// Completions against a plain decoder in double precision, and against themselves in other company.
#include "tightrope/policies/text_sampler.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "reference_decoder.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

using testing::ReferenceDecoder;
using testing::Row;
using testing::Tokens;

#ifdef __AVX512BF16__
constexpr double kBFloat16Tolerance = 0.3;  // inputs of products are rounded too
#else
constexpr double kBFloat16Tolerance = 1e-5;
#endif

// Three queries to a key, heads of no round size that are not the hidden width together, tied.
DecoderConfig thirds() {
  DecoderConfig c;
  c.vocabulary = 53, c.hidden = 36, c.layers = 2, c.heads = 6, c.kv_heads = 2, c.head_size = 20, c.ffn = 50;
  c.context = 400;
  c.tied = true;
  return c;
}
// One query to a key, biases, a head of its own.
DecoderConfig biased() {
  DecoderConfig c;
  c.vocabulary = 101, c.hidden = 24, c.layers = 3, c.heads = 2, c.kv_heads = 2, c.head_size = 12, c.ffn = 33;
  c.context = 400;
  c.attention_bias = true;
  c.norm_epsilon = 1e-2;
  return c;
}
// Five queries to a key, stretched positions.
DecoderConfig stretched() {
  DecoderConfig c;
  c.vocabulary = 64, c.hidden = 32, c.layers = 2, c.heads = 5, c.kv_heads = 1, c.head_size = 16, c.ffn = 40;
  c.context = 400;
  c.tied = true;
  c.rope = {.theta = 500, .scaling = Rope::Scaling::llama3, .factor = 4, .original_context = 64};
  return c;
}

double keyed_uniform(int64_t row, int64_t position) {
  return uniform(7, Stream::action, static_cast<uint64_t>(row), static_cast<uint32_t>(position));
}

Tokens random_prompt(const DecoderConfig& config, int64_t length, uint64_t id) {
  Tokens prompt;
  for (int64_t i = 0; i < length; ++i)
    prompt.push_back(static_cast<int64_t>(uniform(3, Stream::data, id, static_cast<uint32_t>(i)) *
                                          static_cast<double>(config.vocabulary)));
  return prompt;
}

struct Model {
  Model(const DecoderConfig& c, Precision precision)
      : config(c), flat(testing::random_weights(c, 11)), sampler(c, precision) {
    sampler.load(at::tensor(flat));
  }
  std::vector<Completion> generate(const TextSampler::Prompts& prompts, const std::vector<int64_t>& rows,
                                   const SampleOptions& options) {
    return sampler.generate(prompts, rows, options, keyed_uniform);
  }
  DecoderConfig config;
  std::vector<float> flat;
  TextSampler sampler;
};

// Until the end of the scope.
class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

SampleOptions new_tokens(int64_t count) {
  SampleOptions options;
  options.max_new = count;
  return options;
}

void expect_equal(const Completion& a, const Completion& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.log_policy, b.log_policy);
  EXPECT_EQ(a.log_behaviour, b.log_behaviour);
  EXPECT_EQ(a.entropy, b.entropy);
  EXPECT_EQ(a.stopped, b.stopped);
}

// Log-probs and entropy of a completion, with tokens fed to the reference.
void expect_reference(const ReferenceDecoder& reference, Tokens text, const Completion& completion, double temperature,
                      double tolerance) {
  double sum = 0, entropy = 0;
  for (size_t i = 0; i < completion.tokens.size(); ++i) {
    const Row p = testing::softmax(reference.logits(text), temperature);
    const double exact = std::log(p[static_cast<size_t>(completion.tokens[i])]);
    EXPECT_NEAR(completion.log_policy[i], exact, tolerance) << "token " << i;
    sum += exact;
    for (const double each : p) entropy -= each * std::log(each);
    text.push_back(completion.tokens[i]);
  }
  const auto count = static_cast<double>(completion.tokens.size());
  EXPECT_NEAR(completion.log_behaviour, sum, tolerance * count);
  EXPECT_NEAR(completion.entropy, entropy, tolerance * count);
}

void compare_with_reference(const DecoderConfig& config, Precision precision, double tolerance) {
  Model model(config, precision);
  const ReferenceDecoder reference(config, model.flat, precision == Precision::bfloat16);
  TextSampler::Prompts prompts = {random_prompt(config, 9, 1), random_prompt(config, 9, 1),
                                  random_prompt(config, 3, 2)};
  prompts[1].resize(5);  // begins as the first does
  prompts[2].insert(prompts[2].begin(), prompts[0].begin(), prompts[0].begin() + 3);
  const std::vector<int64_t> rows = {2, 0, 1, 0, 2};
  SampleOptions options = new_tokens(24);
  options.temperature = 1.3;
  const auto out = model.generate(prompts, rows, options);
  for (size_t r = 0; r < rows.size(); ++r) {
    ASSERT_EQ(out[r].tokens.size(), 24U);
    EXPECT_FALSE(out[r].stopped);
    expect_reference(reference, prompts[static_cast<size_t>(rows[r])], out[r], 1.3, tolerance);
  }
}

TEST(TextSampler, EqualsAPlainDecoder) {
  for (const DecoderConfig& config : {thirds(), biased(), stretched()})
    compare_with_reference(config, Precision::float32, 1e-5);
}

TEST(TextSampler, EqualsAPlainDecoderWithRoundedWeights) {
  for (const DecoderConfig& config : {thirds(), biased(), stretched()})
    compare_with_reference(config, Precision::bfloat16, kBFloat16Tolerance);
}

TEST(TextSampler, GreedyTakesTheMostProbable) {
  for (const DecoderConfig& config : {thirds(), biased()}) {
    Model model(config, Precision::float32);
    const ReferenceDecoder reference(config, model.flat, false);
    SampleOptions options = new_tokens(20);
    options.greedy = true;
    Tokens text = random_prompt(config, 4, 3);
    const auto out = model.generate({text}, {0}, options);
    for (const int64_t token : out[0].tokens) {
      const Row logits = reference.logits(text);
      EXPECT_EQ(token, std::max_element(logits.begin(), logits.end()) - logits.begin());
      text.push_back(token);
    }
    EXPECT_EQ(out[0].log_behaviour, 0);
  }
}

// Tokens of many rows are distributed as the reference says: Pearson's statistic, 52 degrees of freedom.
TEST(TextSampler, FirstTokensFollowTheirLaw) {
  Model model(thirds(), Precision::float32);
  const Tokens prompt = random_prompt(model.config, 6, 4);
  const std::vector<int64_t> rows(20000, 0);
  SampleOptions options = new_tokens(1);
  options.temperature = 2;
  const Row p = testing::softmax(ReferenceDecoder(model.config, model.flat, false).logits(prompt), 2);
  Row count(p.size(), 0.0);
  for (const Completion& each : model.generate({prompt}, rows, options)) ++count[static_cast<size_t>(each.tokens[0])];
  double statistic = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double expected = 20000 * p[i];
    statistic += (count[i] - expected) * (count[i] - expected) / expected;
  }
  EXPECT_LT(statistic, 52 + 4 * std::sqrt(2 * 52.0));
  EXPECT_GT(statistic, 52 - 4 * std::sqrt(2 * 52.0));
}

// 64 rows of prompts of many lengths, one of them longer than what is fed at once; some end early.
TEST(TextSampler, CompanyChangesNothing) {
  const Threads one(1);  // threads that share a core would wait for each other a thousand times
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    Model model(thirds(), precision);
    TextSampler::Prompts prompts;
    for (const int64_t length : {1, 2, 8, 17, 150, 300, 5}) prompts.push_back(random_prompt(model.config, length, 5));
    std::vector<int64_t> rows;
    for (int64_t r = 0; r < 64; ++r) rows.push_back(r % std::ssize(prompts));
    SampleOptions options = new_tokens(30);
    options.stops = {3, 4};
    const auto together = model.generate(prompts, rows, options);
    bool differ = false;
    for (int64_t r = 0; r < 64; ++r) {
      const auto shifted = [&](int64_t, int64_t position) { return keyed_uniform(r, position); };
      const std::vector<int64_t> row = {0};
      const auto alone = model.sampler.generate({prompts[static_cast<size_t>(rows[r])]}, row, options, shifted);
      expect_equal(alone[0], together[r]);
      differ = differ || together[r].tokens.size() != together[0].tokens.size();
    }
    EXPECT_TRUE(differ);
  }
}

TEST(TextSampler, ThreadsChangeNothing) {
  Model model(stretched(), Precision::bfloat16);
  const TextSampler::Prompts prompts = {random_prompt(model.config, 40, 6), random_prompt(model.config, 9, 7)};
  const std::vector<int64_t> rows = {0, 1, 1, 0, 1, 0, 0};
  const auto with = [&](int threads) {
    const Threads scope(threads);
    return model.generate(prompts, rows, new_tokens(25));
  };
  const auto one = with(1), three = with(3);
  for (size_t r = 0; r < rows.size(); ++r) expect_equal(one[r], three[r]);
}

TEST(TextSampler, EndsAtStopsAndLimits) {
  Model model(biased(), Precision::float32);
  const Tokens prompt = random_prompt(model.config, 10, 8);
  const std::vector<int64_t> rows(12, 0);
  const auto free = model.generate({prompt}, rows, new_tokens(50));
  SampleOptions options = new_tokens(50);
  options.stops = {free[0].tokens[20], free[1].tokens[0]};
  std::vector<Tokens> streamed(rows.size());
  const auto stopped = model.sampler.generate({prompt}, rows, options, keyed_uniform, [&](int64_t row, int64_t token) {
    streamed[static_cast<size_t>(row)].push_back(token);
  });
  for (size_t r = 0; r < rows.size(); ++r) {
    const Tokens& all = free[r].tokens;
    const auto stop = std::find_first_of(all.begin(), all.end(), options.stops.begin(), options.stops.end());
    EXPECT_EQ(stopped[r].stopped, stop != all.end());
    EXPECT_EQ(stopped[r].tokens, Tokens(all.begin(), stop == all.end() ? stop : stop + 1));
    EXPECT_EQ(streamed[r], stopped[r].tokens);
  }
  EXPECT_EQ(stopped[1].tokens.size(), 1U);
  options = new_tokens(50);
  options.context = 17;
  const auto short_of_room = model.generate({prompt}, rows, options);
  EXPECT_EQ(short_of_room[3].tokens, Tokens(free[3].tokens.begin(), free[3].tokens.begin() + 7));
  EXPECT_FALSE(short_of_room[3].stopped);
}

TEST(TextSampler, LoadsAgain) {
  Model model(thirds(), Precision::float32), other(thirds(), Precision::float32);
  const TextSampler::Prompts prompts = {random_prompt(model.config, 5, 9)};
  const auto before = model.generate(prompts, {0}, new_tokens(10));
  model.sampler.load(at::tensor(testing::random_weights(model.config, 12)));
  EXPECT_NE(model.generate(prompts, {0}, new_tokens(10))[0].log_policy, before[0].log_policy);
  model.sampler.load(at::tensor(model.flat));
  expect_equal(model.generate(prompts, {0}, new_tokens(10))[0], before[0]);
  EXPECT_GE(model.sampler.memory_bytes(), std::ssize(model.flat) * 4 - 5 * 36 * 4);  // all but the norms
}

std::string failure_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "";
}

TEST(TextSampler, SaysWhatItCannotDo) {
  Model model(thirds(), Precision::float32);
  const auto says = [&](const Tokens& prompt, const SampleOptions& options) {
    return failure_of([&] { model.generate({{1}, prompt}, {1}, options); });
  };
  EXPECT_NE(says(Tokens(400, 1), {}).find("prompt 1 has 400 tokens (the context holds 400"), std::string::npos);
  EXPECT_NE(says({}, {}).find("prompt 1 is empty"), std::string::npos);
  EXPECT_NE(says({1, 53}, {}).find("prompt 1 holds the token 53 (the model knows 0 to 52)"), std::string::npos);
  EXPECT_NE(says({-1}, {}).find("token -1"), std::string::npos);
  EXPECT_NE(says({1}, new_tokens(0)).find("max_new is 0"), std::string::npos);
  SampleOptions options;
  options.top_p = 1.5;
  EXPECT_NE(says({1}, options).find("top_p"), std::string::npos);
  options = {};
  options.temperature = 0;
  EXPECT_NE(says({1}, options).find("temperature"), std::string::npos);
  auto flat = model.flat;
  flat.push_back(0);
  EXPECT_NE(failure_of([&] { model.sampler.load(at::tensor(flat)); }).find("1 values more"), std::string::npos);
  flat.resize(100);
  EXPECT_NE(failure_of([&] { model.sampler.load(at::tensor(flat)); }).find("ends before"), std::string::npos);
  flat = model.flat;
  flat[70] = std::numeric_limits<float>::quiet_NaN();
  model.sampler.load(at::tensor(flat));
  EXPECT_NE(says({1, 2}, {}).find("logits are not numbers"), std::string::npos);
}

}  // namespace
}  // namespace tightrope
