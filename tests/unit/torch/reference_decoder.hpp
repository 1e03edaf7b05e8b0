#pragma once
// A decoder written down plainly in double precision, the whole text again for every token: what the sampler must
// equal.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "tightrope/core/rng.hpp"
#include "tightrope/policies/decoder_config.hpp"

namespace tightrope::testing {

using Row = std::vector<double>;
using Rows = std::vector<Row>;
using Tokens = std::vector<int64_t>;

// Weights of a size that makes attention and tokens differ.
inline std::vector<float> random_weights(const DecoderConfig& config, uint64_t seed) {
  std::vector<float> flat;
  for (const TensorShape& parameter : decoder_parameters(config)) {
    const bool norm = parameter.name.find("norm") != std::string::npos;
    int64_t count = 1;
    for (const int64_t size : parameter.shape) count *= size;
    for (int64_t i = 0; i < count; ++i) {
      const double x = normal(seed, Stream::weights, flat.size(), 0);
      flat.push_back(static_cast<float>(norm ? 1 + 0.2 * x : 0.3 * x));
    }
  }
  return flat;
}

inline float as_bfloat16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000U);
}

class ReferenceDecoder {
 public:
  ReferenceDecoder(const DecoderConfig& config, const std::vector<float>& flat, bool bfloat16) : c_(config) {
    size_t at = 0;
    for (const TensorShape& parameter : decoder_parameters(config)) {
      const bool matrix = parameter.shape.size() == 2;
      Rows& rows = weights_[parameter.name];
      rows.resize(matrix ? static_cast<size_t>(parameter.shape[0]) : 1);
      for (Row& row : rows)
        for (int64_t i = 0; i < parameter.shape.back(); ++i, ++at)
          row.push_back(matrix && bfloat16 ? as_bfloat16(flat[at]) : flat[at]);
    }
    EXPECT_EQ(at, flat.size());
  }

  // (V) behind the last token.
  Row logits(const Tokens& text) const {
    Rows x;
    for (const int64_t token : text) x.push_back(weights_.at("model.embed_tokens.weight")[static_cast<size_t>(token)]);
    for (int64_t l = 0; l < c_.layers; ++l) {
      const std::string layer = "model.layers." + std::to_string(l) + ".";
      const Rows attended = attention(layer + "self_attn.", norm(x, layer + "input_layernorm.weight"));
      for (size_t t = 0; t < x.size(); ++t) add(x[t], attended[t]);
      const Rows normed = norm(x, layer + "post_attention_layernorm.weight");
      for (size_t t = 0; t < x.size(); ++t) add(x[t], feed_forward(layer + "mlp.", normed[t]));
    }
    const Row last = norm(x, "model.norm.weight").back();
    return times(c_.tied ? "model.embed_tokens" : "lm_head", last);
  }

 private:
  static void add(Row& to, const Row& what) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += what[i];
  }

  Row times(const std::string& name, const Row& x) const {
    Row out;
    for (const Row& w : weights_.at(name + ".weight")) {
      out.push_back(0);
      for (size_t i = 0; i < x.size(); ++i) out.back() += w[i] * x[i];
    }
    if (const auto bias = weights_.find(name + ".bias"); bias != weights_.end()) add(out, bias->second[0]);
    return out;
  }

  Rows norm(Rows x, const std::string& name) const {
    const Row& weight = weights_.at(name)[0];
    for (Row& row : x) {
      double squares = 0;
      for (const double value : row) squares += value * value;
      const double scale = 1 / std::sqrt(squares / static_cast<double>(row.size()) + c_.norm_epsilon);
      for (size_t i = 0; i < row.size(); ++i) row[i] *= scale * weight[i];
    }
    return x;
  }

  Row feed_forward(const std::string& name, const Row& x) const {
    Row gate = times(name + "gate_proj", x);
    const Row up = times(name + "up_proj", x);
    for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
    return times(name + "down_proj", gate);
  }

  double frequency(int64_t i) const {
    const double plain = std::pow(c_.rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(c_.head_size));
    if (c_.rope.scaling == Rope::Scaling::none) return plain;
    if (c_.rope.scaling == Rope::Scaling::linear) return plain / c_.rope.factor;
    const double turns = static_cast<double>(c_.rope.original_context) * plain / (2 * std::numbers::pi);
    const double low = c_.rope.low_frequency_factor, high = c_.rope.high_frequency_factor;
    const double kept = std::min(1.0, std::max(0.0, (turns - low) / (high - low)));
    return plain * (kept + (1 - kept) / c_.rope.factor);
  }

  void rotate(Row& row, size_t position) const {
    const int64_t half = c_.head_size / 2;
    for (size_t head = 0; head < row.size(); head += static_cast<size_t>(c_.head_size))
      for (int64_t i = 0; i < half; ++i) {
        double& a = row[head + static_cast<size_t>(i)];
        double& b = row[head + static_cast<size_t>(i + half)];
        const double angle = static_cast<double>(position) * frequency(i), x = a, y = b;
        a = x * std::cos(angle) - y * std::sin(angle);
        b = y * std::cos(angle) + x * std::sin(angle);
      }
  }

  Rows attention(const std::string& name, const Rows& x) const {
    Rows query, key, value, out;
    for (size_t t = 0; t < x.size(); ++t) {
      query.push_back(times(name + "q_proj", x[t]));
      key.push_back(times(name + "k_proj", x[t]));
      value.push_back(times(name + "v_proj", x[t]));
      rotate(query[t], t);
      rotate(key[t], t);
    }
    const auto size = static_cast<size_t>(c_.head_size);
    for (size_t t = 0; t < x.size(); ++t) {
      Row mixed(query[t].size(), 0.0);
      for (size_t head = 0; head < static_cast<size_t>(c_.heads); ++head) {
        const size_t from = head / static_cast<size_t>(c_.heads / c_.kv_heads) * size;
        Row weight(t + 1, 0.0);
        double total = 0;
        for (size_t s = 0; s <= t; ++s) {
          for (size_t d = 0; d < size; ++d) weight[s] += query[t][head * size + d] * key[s][from + d];
          total += weight[s] = std::exp(weight[s] / std::sqrt(static_cast<double>(size)));
        }
        for (size_t s = 0; s <= t; ++s)
          for (size_t d = 0; d < size; ++d) mixed[head * size + d] += weight[s] / total * value[s][from + d];
      }
      out.push_back(times(name + "o_proj", mixed));
    }
    return out;
  }

  DecoderConfig c_;
  std::map<std::string, Rows> weights_;
};

inline Row softmax(Row x, double temperature) {
  double total = 0;
  for (double& value : x) total += value = std::exp(value / temperature);
  for (double& value : x) value /= total;
  return x;
}

}  // namespace tightrope::testing
