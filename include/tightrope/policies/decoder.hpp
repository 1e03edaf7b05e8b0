#pragma once
// Decoder: log-probs of token sequences under a decoder-only transformer of the Llama family (Touvron et al. 2023), and
// their gradient.  It scores whole TokenTrees, so what sequences have in common is computed once.
// Parameters lie on one flat buffer in the order of decoder_parameters(); the head may be the embedding, whose
// gradients then add up.
//
// Memory of a forward pass with gradients, in values per node and layer: 2 H float32 (residual stream) and
// (2 heads + 2 kv_heads) head_size + 2 F in the precision; norms, rotations, attention scores and SwiGLU are computed
// again.  SmolLM2-135M in float32: 23 kB, 692 kB per node over all 30 layers.  Besides, for either pass: about
// (6 F + 6 H) values per node, and the score matrix of one head, nodes * depth (two of them in the backward pass).
// bfloat16 adds a rounded copy of the parameters from the forward to the end of the backward pass.
#include "tightrope/core/policy.hpp"
#include "tightrope/policies/decoder_config.hpp"
#include "tightrope/policies/precision.hpp"
#include "tightrope/policies/token_tree.hpp"

namespace tightrope {

// What is asked of a tree: entry r is the log-prob of token target[r] after the prefix that ends in node row[r].
struct ScoreRequest {
  Tensor row, target;      // (R) int64
  double temperature = 1;  // divides the logits
  // Larger trees are computed in parts (cut_tree), with gradients twice: a first pass keeps nothing, the backward pass
  // repeats each part before going back through it.  Exact for any function of the scores.  0 = no bound.
  int64_t max_nodes = 0;
  bool entropy = false;
};

struct TokenScores {
  Tensor log_prob;  // (R) float32, nats
  Tensor entropy;   // (R) float32, nats, of the distribution that entry r is drawn from, never with a gradient;
                    // undefined unless asked for
};

class Decoder {
 public:
  Decoder(DecoderConfig config, Precision precision);

  // Where gradients are enabled log_prob has one, and its backward adds to parameters.gradient() directly: it works
  // with backward(), not with torch.autograd.grad().  The parameters must outlive it and not change before it; a
  // watcher of their gradient hears of every layer, so one backward pass must not go through two scores then.
  TokenScores score(ParameterSet& parameters, const TokenTree& tree, const ScoreRequest& request) const;

  // Of frozen parameters: flat (P) float32, or bfloat16 where that is the precision, which saves rounding them anew.
  TokenScores score(const Tensor& flat, const TokenTree& tree, const ScoreRequest& request) const;

  // (R,V) float32 logits at the given rows (R) int64 of the tree, for inspection.
  Tensor logits(const Tensor& flat, const TokenTree& tree, const Tensor& row) const;

  const DecoderConfig& config() const { return config_; }
  Precision precision() const { return precision_; }

 private:
  DecoderConfig config_;
  Precision precision_;
};

// The parameters of `config`, all zero, in one group, "network".
void add_decoder_parameters(const DecoderConfig& config, ParameterSet& parameters);

}  // namespace tightrope
