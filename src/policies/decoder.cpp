#include "tightrope/policies/decoder.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <utility>

#include "decoder_head.hpp"
#include "decoder_pass.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor round_to(Precision precision, const Tensor& flat) {
  return flat.to(precision == Precision::bfloat16 ? at::kBFloat16 : at::kFloat);
}

// A range of a tree's rows with their ancestors, and the entries that are asked of them.
class Part {
 public:
  // `entry` (R') are those of `request` with rows in [begin, end).
  Part(const DecoderConfig& config, const Tensor& flat, const Tensor& rounded, const TokenTree& tree, int64_t begin,
       int64_t end, const ScoreRequest& request)
      : entry(((request.row >= begin) & (request.row < end)).nonzero().squeeze(1)),
        tree_(begin == 0 && end == tree.nodes() ? tree : part_of_tree(tree, begin, end)),
        temperature_(request.temperature),
        pass_(config, flat, rounded, tree_) {
    const Tensor row = request.row.index_select(0, entry) - begin + int64_t{tree.position[static_cast<size_t>(begin)]};
    std::tie(rows_, entries_.row) = at::_unique(row, /*sorted=*/true, /*return_inverse=*/true);
    entries_.target = request.target.index_select(0, entry);
    for (Tensor* const index : {&rows_, &entries_.row, &entries_.target}) *index = index->to(flat.device());
  }
  Part(const Part&) = delete;  // pass_ refers to tree_
  Part& operator=(const Part&) = delete;

  TokenScores forward(bool keep, bool entropy) {
    const Tensor x = pass_.forward(keep).index_select(0, rows_);
    const Tensor h = pass_.final_norm(x);
    HeadResult result = head_log_probs(h, pass_.rounded().head, entries_, temperature_, entropy);
    if (keep) x_ = x, h_ = h, log_normaliser_ = result.log_normaliser;
    return {result.log_prob.cpu(), entropy ? result.entropy.index_select(0, entries_.row).cpu() : Tensor()};
  }

  // After forward(true); gradient (R') of the log-probs.
  void backward(const Tensor& gradient, const DecoderViews& to, const DoneFrom& done) {
    const Tensor dh = head_backward(h_, pass_.rounded().head, entries_, temperature_, log_normaliser_,
                                    gradient.to(h_.device()).contiguous(), to.head);
    const Tensor dx = at::zeros_like(x_);
    pass_.final_norm_backward(x_, dh, dx, to);
    Tensor d = at::zeros({tree_.nodes(), x_.size(1)}, x_.options());
    d.index_copy_(0, rows_, dx);
    pass_.backward(d, to, done);
  }

  const Tensor entry;  // on the CPU, as are log-probs and their gradients; all else is where the parameters are

 private:
  const TokenTree tree_;
  double temperature_;
  DecoderPass pass_;
  Tensor rows_;  // (U) int64, distinct
  HeadEntries entries_;
  Tensor x_, h_, log_normaliser_;
};

// One request, from its forward to its backward pass.
class Scoring : public torch::CustomClassHolder {
 public:
  // `parameters` only for a backward pass.
  Scoring(const DecoderConfig& config, Precision precision, const Tensor& flat, const TokenTree& tree,
          const ScoreRequest& request, const ParameterSet* parameters = nullptr)
      : parameters_(parameters),
        config_(config),
        flat_(flat),
        rounded_(round_to(precision, flat)),
        tree_(tree),
        request_(request),
        cuts_(cut_tree(tree, request.max_nodes)) {}

  TokenScores forward(bool keep) {
    const int64_t entries = request_.row.size(0);
    TokenScores scores{at::empty({entries}, at::kFloat),
                       request_.entropy ? at::empty({entries}, at::kFloat) : Tensor()};
    for (size_t i = 0; i < parts(); ++i) {
      auto part = make_part(i);
      if (part->entry.size(0) == 0) continue;
      const TokenScores found = part->forward(keep && parts() == 1, request_.entropy);
      scores.log_prob.index_copy_(0, part->entry, found.log_prob);
      if (request_.entropy) scores.entropy.index_copy_(0, part->entry, found.entropy);
      if (keep && parts() == 1) whole_ = std::move(part);
    }
    return scores;
  }

  // Adds to the parameters' gradient, and says what of it is done while the last part is computed.
  void backward(const Tensor& gradient) {
    const DecoderViews to(config_, parameters_->gradient());
    int64_t done = parameters_->size();
    const auto done_from = [&](int64_t offset) {
      parameters_->gradient_done({offset, done - offset});
      done = offset;
    };
    if (whole_) return whole_->backward(gradient.index_select(0, whole_->entry), to, done_from);
    for (size_t i = 0; i < parts(); ++i) {
      const auto part = make_part(i);
      if (part->entry.size(0) == 0) continue;
      part->forward(true, false);
      const bool last = i + 1 == parts();
      part->backward(
          gradient.index_select(0, part->entry), to, last ? DoneFrom(done_from) : [](int64_t) {});
    }
  }

 private:
  size_t parts() const { return cuts_.size() - 1; }
  std::unique_ptr<Part> make_part(size_t i) const {
    return std::make_unique<Part>(config_, flat_, rounded_, tree_, cuts_[i], cuts_[i + 1], request_);
  }

  const ParameterSet* const parameters_;
  const DecoderConfig config_;
  const Tensor flat_, rounded_;
  const TokenTree tree_;
  const ScoreRequest request_;
  const std::vector<int64_t> cuts_;
  std::unique_ptr<Part> whole_;  // kept where there is one part
};

// `anchor` is an empty leaf that makes the graph lead through here; a parameter would have its own hooks run.
class Score : public torch::autograd::Function<Score> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& /*anchor*/,
                               const c10::intrusive_ptr<Scoring>& scoring) {
    context->saved_data["scoring"] = c10::IValue::make_capsule(scoring);
    const TokenScores scores = scoring->forward(true);
    const Tensor entropy = scores.entropy.defined() ? scores.entropy : at::empty({0}, at::kFloat);
    context->mark_non_differentiable({entropy});
    return {scores.log_prob, entropy};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto scoring = c10::static_intrusive_pointer_cast<Scoring>(context->saved_data["scoring"].toCapsule());
    if (gradients[0].defined()) scoring->backward(gradients[0]);
    return {Tensor(), Tensor()};
  }
};

}  // namespace

Precision native_precision() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) return Precision::bfloat16;
#endif
  return Precision::float32;
}

Decoder::Decoder(DecoderConfig config, Precision precision) : config_(std::move(config)), precision_(precision) {}

TokenScores Decoder::score(ParameterSet& parameters, const TokenTree& tree, const ScoreRequest& request) const {
  if (!at::GradMode::is_enabled() || request.row.size(0) == 0) return score(parameters.flat(), tree, request);
  const auto scoring = c10::make_intrusive<Scoring>(config_, precision_, parameters.flat(), tree, request, &parameters);
  const Tensor anchor = at::empty({0}, at::kFloat).set_requires_grad(true);
  const variable_list out = Score::apply(anchor, scoring);
  return {out[0], request.entropy ? out[1] : Tensor()};
}

TokenScores Decoder::score(const Tensor& flat, const TokenTree& tree, const ScoreRequest& request) const {
  const at::NoGradGuard no_grad;
  return Scoring(config_, precision_, flat, tree, request).forward(false);
}

Tensor Decoder::logits(const Tensor& flat, const TokenTree& tree, const Tensor& row) const {
  const at::NoGradGuard no_grad;
  const Tensor rounded = round_to(precision_, flat);
  DecoderPass pass(config_, flat, rounded, tree);
  const Tensor h = pass.final_norm(pass.forward(false).index_select(0, row.to(flat.device())));
  return at::mm(h, pass.rounded().head.t()).to(at::kFloat).cpu();
}

void add_decoder_parameters(const DecoderConfig& config, ParameterSet& parameters) {
  for (const TensorShape& parameter : decoder_parameters(config))
    parameters.add(parameter.name, "network", parameter.shape);
}

}  // namespace tightrope
