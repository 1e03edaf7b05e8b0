#include "tightrope/tasks/text_task.hpp"

#include <algorithm>
#include <unordered_map>

#include "tightrope/base/check.hpp"
#include "tightrope/core/rng.hpp"

namespace tightrope {

using Question = TextProblem::Question;

void TextDeck::fields(FieldList& f) {
  f.count("max_new", max_new, {1, 1e6}, "tokens", "longest completion, its stop token included");
  f.text("stop", stop, "text of one token that ends a completion beside the model's own; \\n for a new line");
  f.flag("count_eos", count_eos, "whether the stop token's log-prob belongs to the trajectory");
  f.real("temperature", temperature, {1e-3, 1e3}, "", "divides the logits of the policy and of the reference");
  f.count("tokens_at_once", tokens_at_once, {1, 1e9}, "tokens", "most in one forward and backward pass");
}

// The tree of a batch's prompts and completions, and what is asked of it.
struct TextTask::Asked {
  TokenTree tree;
  Predictions predictions;
  ScoreRequest request;
};

TextTask::TextTask(TextProblem problem, const TextDeck& deck, Precision compute, Precision sampler,
                   const EvaluationDeck& evaluation)
    : problem_(std::move(problem)),
      deck_(deck),
      sampler_(sampler),
      evaluation_(evaluation),
      decoder_(problem_.config, compute) {
  for (const TensorShape& tensor : decoder_parameters(problem_.config)) values_ += c10::multiply_integers(tensor.shape);
}

Layout TextTask::layout() const {
  Layout layout;
  layout.max_length = deck_.max_new;
  layout.action_values = problem_.config.vocabulary;
  layout.reward_parts = problem_.parts;
  return layout;
}

std::unique_ptr<Policy> TextTask::make_policy(const Needs&) const {
  return std::make_unique<TextPolicy>(problem_.config, sampler_, problem_.load);
}

const Tensor& TextTask::reference() const {
  if (!reference_.defined()) {
    reference_ = at::empty({values_}, dtype());
    fill_frozen({static_cast<std::byte*>(reference_.mutable_data_ptr()), static_cast<size_t>(frozen_bytes())});
  }
  return reference_;
}

at::ScalarType TextTask::dtype() const {
  return decoder_.precision() == Precision::bfloat16 ? at::kBFloat16 : at::kFloat;
}

int64_t TextTask::frozen_bytes() const { return values_ * static_cast<int64_t>(at::elementSize(dtype())); }

void TextTask::fill_frozen(std::span<std::byte> memory) const {
  const Tensor target = at::from_blob(memory.data(), {values_}, dtype());
  if (dtype() == at::kFloat) return problem_.load(target);
  const Tensor wide = at::empty({values_}, at::kFloat);
  problem_.load(wide);
  target.copy_(wide);
}

void TextTask::use_frozen(std::span<const std::byte> memory) const {
  reference_ = at::from_blob(const_cast<std::byte*>(memory.data()), {values_}, dtype());
}

TextTask::Asked TextTask::asked(const Batch& batch) const {
  const auto* query = batch.query.const_data_ptr<int64_t>();
  const auto* length = batch.length.const_data_ptr<int64_t>();
  const Tensor actions = batch.actions.contiguous();
  std::vector<std::vector<int32_t>> texts;
  std::vector<PredictedSequence> sequences;
  for (int64_t b = 0; b < batch.size(); ++b) {
    const Question& question = problem_.train.at(static_cast<size_t>(query[b]));
    std::vector<int32_t> text = question.prompt;
    const int64_t* first = actions.const_data_ptr<int64_t>() + b * actions.size(1);
    text.insert(text.end(), first, first + length[b]);
    texts.push_back(std::move(text));
    sequences.push_back({texts.back(), static_cast<int64_t>(question.prompt.size())});
  }
  Asked asked;
  asked.tree = make_token_tree(sequences, asked.predictions);
  asked.request.row = at::tensor(asked.predictions.row, at::kLong);
  asked.request.target = at::tensor(asked.predictions.target, at::kLong);
  asked.request.temperature = deck_.temperature;
  asked.request.max_nodes = deck_.tokens_at_once;
  return asked;
}

// A stop token that is not counted has log-prob 0 under both densities, like everything beyond the length.
Tensor TextTask::spread_out(const Asked& asked, const Tensor& log_prob, const Batch& batch) const {
  const int64_t width = batch.actions.size(1);
  const auto* length = batch.length.const_data_ptr<int64_t>();
  const auto* finish = batch.finish.const_data_ptr<int8_t>();
  std::vector<int64_t> from, to;
  for (int64_t b = 0; b < batch.size(); ++b) {
    const bool stopped = finish[b] == static_cast<int8_t>(Finish::terminal) && !problem_.enumerable;
    const int64_t counted = length[b] - (stopped && !deck_.count_eos);
    for (int64_t t = 0; t < counted; ++t) {
      from.push_back(asked.predictions.first[static_cast<size_t>(b)] + t);
      to.push_back(b * width + t);
    }
  }
  const Tensor values = log_prob.to(at::kDouble).index_select(0, at::tensor(from, at::kLong));
  return at::zeros({batch.size() * width}, values.options())
      .index_put({at::tensor(to, at::kLong)}, values)
      .view({batch.size(), width});
}

Scores TextTask::score(Policy& policy, const Batch& batch) const {
  const Asked question = asked(batch);
  Scores scores;
  scores.log_pf =
      spread_out(question, decoder_.score(policy.parameters, question.tree, question.request).log_prob, batch);
  return scores;
}

Tensor TextTask::log_ref(const Batch& batch) const {
  const at::NoGradGuard no_grad;
  const Asked question = asked(batch);
  return spread_out(question, decoder_.score(reference(), question.tree, question.request).log_prob, batch).sum(1);
}

int64_t TextTask::rows_at_once(const Batch& batch, int64_t first) const {
  const auto* query = batch.query.const_data_ptr<int64_t>();
  const auto* length = batch.length.const_data_ptr<int64_t>();
  int64_t tokens = 0, row = first;
  for (; row < batch.size(); ++row) {  // a prompt counts once, where its rows follow one another
    const bool shared = row > first && query[row] == query[row - 1];
    tokens += length[row];
    if (!shared) tokens += static_cast<int64_t>(problem_.train.at(static_cast<size_t>(query[row])).prompt.size());
    if (tokens > deck_.tokens_at_once) break;
  }
  return std::max<int64_t>(row - first, 1);
}

Batch TextTask::sample(Policy& policy, const Tensor& query, const Exploration& explore, const Keys& keys) const {
  const at::NoGradGuard no_grad;
  const int64_t count = query.size(0);
  const auto* of = query.const_data_ptr<int64_t>();
  TextSampler::Prompts prompts;
  std::vector<int64_t> rows, ids;
  std::unordered_map<int64_t, int64_t> known;
  for (int64_t b = 0; b < count; ++b) {
    const auto [place, fresh] = known.emplace(of[b], static_cast<int64_t>(prompts.size()));
    const auto& prompt = problem_.train.at(static_cast<size_t>(of[b])).prompt;
    if (fresh) prompts.emplace_back(prompt.begin(), prompt.end());
    rows.push_back(place->second);
    ids.push_back(sample_id(of[b], keys.visit[static_cast<size_t>(b)], keys.k[static_cast<size_t>(b)]));
  }
  SampleOptions options;
  options.max_new = deck_.max_new;
  options.temperature = deck_.temperature;
  options.explore_temperature = explore.temperature;
  options.top_p = explore.top_p;
  options.stops.assign(problem_.stop.begin(), problem_.stop.end());
  const auto completions =
      dynamic_cast<TextPolicy&>(policy).sampler().generate(prompts, rows, options, [&](int64_t row, int64_t position) {
        return uniform(keys.seed, Stream::action, static_cast<uint64_t>(ids[static_cast<size_t>(row)]),
                       static_cast<uint32_t>(position));
      });

  const auto parts = static_cast<int64_t>(problem_.parts.size());
  int64_t width = 0;
  for (const Completion& completion : completions)
    width = std::max(width, static_cast<int64_t>(completion.tokens.size()));
  Batch batch;
  batch.query = query.clone();
  batch.group = at::zeros({count}, at::kLong);
  batch.id = at::tensor(ids, at::kLong);
  batch.length = at::empty({count}, at::kLong);
  batch.actions = at::zeros({count, width}, at::kLong);
  batch.reward = at::empty({count, parts}, at::kFloat);
  batch.version = at::zeros({count, 3}, at::kLong);
  batch.finish = at::empty({count}, at::kChar);
  batch.entropy = at::empty({count}, at::kFloat);
  for (int64_t b = 0; b < count; ++b) {
    const auto& completion = completions[static_cast<size_t>(b)];
    const bool ended = completion.stopped || problem_.enumerable;
    const std::vector<int32_t> tokens(completion.tokens.begin(), completion.tokens.end());
    const auto grade = problem_.grade(problem_.train[static_cast<size_t>(of[b])], tokens, ended);
    std::ranges::copy(completion.tokens, batch.actions.mutable_data_ptr<int64_t>() + b * width);
    std::ranges::copy(grade.parts, batch.reward.mutable_data_ptr<float>() + b * parts);
    batch.length.mutable_data_ptr<int64_t>()[b] = static_cast<int64_t>(completion.tokens.size());
    batch.finish.mutable_data_ptr<int8_t>()[b] = static_cast<int8_t>(ended ? Finish::terminal : Finish::truncated);
    batch.entropy.mutable_data_ptr<float>()[b] = static_cast<float>(completion.entropy);
  }
  return batch;
}

std::string TextTask::describe(const Batch& batch, int64_t row) const {
  const Question& question = problem_.train.at(static_cast<size_t>(batch.query[row].item<int64_t>()));
  const Tensor actions = batch.actions[row].narrow(0, 0, batch.length[row].item<int64_t>()).contiguous();
  const auto* first = actions.const_data_ptr<int64_t>();
  return question.source + " -> " + problem_.decode(std::vector<int32_t>(first, first + actions.numel()));
}

void TextTask::export_policy(const Policy& policy, const std::string& folder) const {
  if (!problem_.save) return;
  const Tensor flat = policy.parameters.flat().cpu();
  problem_.save({flat.const_data_ptr<float>(), static_cast<size_t>(flat.numel())}, folder + "/model");
}

std::string TextTask::summary() const {
  const auto mib = [](int64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; };
  const int64_t kept = 4 * problem_.config.layers *
                       (2 * problem_.config.hidden + 2 * problem_.config.ffn +
                        2 * (problem_.config.heads + problem_.config.kv_heads) * problem_.config.head_size);
  return problem_.summary + "\n  completion            at most " + std::to_string(deck_.max_new) + " tokens, " +
         std::to_string(deck_.tokens_at_once) + " tokens in one pass\n" + "  reference             " +
         mib(frozen_bytes()) + " per node\n" + "  sampler's weights     " +
         mib(values_ * (sampler_ == Precision::bfloat16 ? 2 : 4)) + " per searcher\n" + "  activations           " +
         std::to_string(kept >> 10) + " KiB per token that is trained on, at most " + mib(kept * deck_.tokens_at_once) +
         "\n";
}

}  // namespace tightrope
