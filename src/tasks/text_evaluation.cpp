// What a text task measures: answers to held-out questions, or, of a task small enough, every completion.
#include <cmath>

#include "tightrope/base/check.hpp"
#include "tightrope/core/rng.hpp"
#include "tightrope/tasks/text_task.hpp"

namespace tightrope {
namespace {

// Sums over questions: accuracy of one question is the mean over its answers, so that its square gives the standard
// error over questions (Recorder).
void add_accuracy(Metrics& metrics, const std::string& name, double accuracy) {
  metrics.add(name, accuracy);
  metrics.add(name + "_square", accuracy * accuracy);
}

// log sum_i exp(x_i)
double log_sum(const std::vector<double>& x) {
  const double most = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (const double value : x) sum += std::exp(value - most);
  return most + std::log(sum);
}

}  // namespace

Metrics TextTask::evaluate(Policy& policy, Slice slice, const Keys& keys) const {
  const at::NoGradGuard no_grad;
  auto& text = dynamic_cast<TextPolicy&>(policy);
  if (problem_.enumerable) return slice.index == 0 ? evaluate_exactly(text) : Metrics{};
  const auto all = static_cast<int64_t>(problem_.heldout.size());
  const int64_t first = all * slice.index / slice.count, last = all * (slice.index + 1) / slice.count;
  const int64_t samples = std::max<int64_t>(1, evaluation_.samples / std::max<int64_t>(all, 1));
  constexpr int64_t kAtOnce = 16;  // questions
  Metrics metrics;
  for (int64_t begin = first; begin < last; begin += kAtOnce)
    metrics.merge(evaluate_answers(text, begin, std::min(begin + kAtOnce, last), samples, keys.seed));
  return metrics;
}

// Questions [first, last) of the held-out ones: one greedy answer and `samples` at the policy's temperature each.
Metrics TextTask::evaluate_answers(TextPolicy& policy, int64_t first, int64_t last, int64_t samples,
                                   uint64_t seed) const {
  TextSampler::Prompts prompts;
  std::vector<int64_t> once, often;
  for (int64_t q = first; q < last; ++q) {
    const auto& prompt = problem_.heldout[static_cast<size_t>(q)].prompt;
    prompts.emplace_back(prompt.begin(), prompt.end());
    once.push_back(q - first);
    often.insert(often.end(), static_cast<size_t>(samples), q - first);
  }
  SampleOptions options;
  options.max_new = deck_.max_new;
  options.temperature = deck_.temperature;
  options.stops.assign(problem_.stop.begin(), problem_.stop.end());
  const auto draw = [&](int64_t row, int64_t position) {
    const int64_t id = sample_id(first + row / samples, -1, row % samples);
    return uniform(seed, Stream::evaluation, static_cast<uint64_t>(id), static_cast<uint32_t>(position));
  };
  const auto sampled = policy.sampler().generate(prompts, often, options, draw);
  options.greedy = true;
  const auto greedy = policy.sampler().generate(prompts, once, options, draw);
  Metrics metrics;
  const auto correct = [&](int64_t question, const Completion& completion) {
    const std::vector<int32_t> tokens(completion.tokens.begin(), completion.tokens.end());
    return problem_.grade(problem_.heldout[static_cast<size_t>(question)], tokens, completion.stopped).correct;
  };
  for (int64_t q = first; q < last; ++q) {
    double right = 0;
    for (int64_t k = 0; k < samples; ++k) {
      const auto& completion = sampled[static_cast<size_t>((q - first) * samples + k)];
      right += correct(q, completion);
      metrics.add("mean_length", static_cast<double>(completion.tokens.size()));
      metrics.add("truncated", !completion.stopped);
    }
    add_accuracy(metrics, "sampled_accuracy", right / static_cast<double>(samples));
    add_accuracy(metrics, "greedy_accuracy", correct(q, greedy[static_cast<size_t>(q - first)]));
  }
  return metrics;
}

// Every completion of every query, at temperature 1 of the reward: total variation from pi_ref exp(r) / Z, and log Z.
Metrics TextTask::evaluate_exactly(TextPolicy& policy) const {
  Metrics metrics;
  std::vector<double> model;
  for (int64_t q = 0; q < queries(); ++q) {
    const Batch batch = all_completions(q);
    const Tensor log_p = score(policy, batch).log_pf.sum(1), log_target = log_ref(batch) + batch.log_reward();
    const auto n = static_cast<size_t>(batch.size());
    const std::vector<double> weight(log_target.const_data_ptr<double>(), log_target.const_data_ptr<double>() + n);
    const double log_z = log_sum(weight);
    double distance = 0, divergence = 0, bound = 0;
    for (size_t i = 0; i < n; ++i) {
      const double p = std::exp(log_p.const_data_ptr<double>()[i]), target = std::exp(weight[i] - log_z);
      distance += 0.5 * std::abs(p - target);
      divergence += p > 0 ? p * (std::log(p) - (weight[i] - log_z)) : 0;
      bound += p > 0 ? p * (weight[i] - std::log(p)) : 0;
      model.push_back(p / static_cast<double>(queries()));
    }
    metrics.add("tv", distance);
    metrics.add("kl", divergence);
    metrics.add("elbo", bound);
    metrics.add("log_z", bound);
  }
  metrics.add_vector("distribution", model);
  return metrics;
}

Metrics TextTask::exact() const {
  Metrics exact;
  if (!problem_.enumerable) return exact;
  const at::NoGradGuard no_grad;
  std::vector<double> target;
  for (int64_t q = 0; q < queries(); ++q) {
    const Batch batch = all_completions(q);
    const Tensor weight = log_ref(batch) + batch.log_reward();
    const double* first = weight.const_data_ptr<double>();
    const std::vector<double> log_weight(first, first + weight.numel());
    const double log_z = log_sum(log_weight);
    exact.add("log_z", log_z);
    for (const double w : log_weight) target.push_back(std::exp(w - log_z) / static_cast<double>(queries()));
  }
  exact.add_vector("target", target);
  return exact;
}

// In lexicographic order.
Batch TextTask::all_completions(int64_t query) const {
  const int64_t length = deck_.max_new, vocabulary = problem_.config.vocabulary;
  int64_t count = 1;
  for (int64_t t = 0; t < length; ++t) count *= vocabulary;
  Batch batch;
  batch.query = at::full({count}, query, at::kLong);
  batch.id = at::arange(count, at::kLong);
  batch.length = at::full({count}, length, at::kLong);
  batch.finish = at::zeros({count}, at::kChar);
  batch.actions = at::empty({count, length}, at::kLong);
  batch.reward = at::empty({count, 1}, at::kFloat);
  std::vector<int32_t> tokens(static_cast<size_t>(length));
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t t = length - 1, rest = i; t >= 0; --t, rest /= vocabulary)
      tokens[static_cast<size_t>(t)] = static_cast<int32_t>(rest % vocabulary);
    std::ranges::copy(tokens, batch.actions.mutable_data_ptr<int64_t>() + i * length);
    batch.reward.mutable_data_ptr<float>()[i] =
        problem_.grade(problem_.train[static_cast<size_t>(query)], tokens, true).parts.front();
  }
  return batch;
}

}  // namespace tightrope
