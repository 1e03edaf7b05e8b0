#pragma once
// DecoderConfig: the shape of a decoder-only transformer and the few things in which families differ.
// Read from a Hugging Face config.json (and generation_config.json); knows no Torch.
// Parameter names and shapes are Hugging Face's: model.embed_tokens.weight (V,H),
// model.layers.<l>.self_attn.q_proj.weight (heads * head_size, H), k_proj and v_proj (kv_heads * head_size, H), o_proj
// (H, heads * head_size), mlp.gate_proj and up_proj (F,H), mlp.down_proj (H,F), input_layernorm and
// post_attention_layernorm (H), model.norm.weight (H), lm_head.weight (V,H) only where untied; biases (out) only where
// attention_bias.
#include <cstdint>
#include <string>
#include <vector>

namespace tightrope {

// Rotary position embedding (Su et al. 2021, arXiv 2104.09864), the two halves of a head rotated against each other
// as Hugging Face does: x[i], x[i + head_size/2] by position * frequency[i].
struct Rope {
  double theta = 10000;
  enum class Scaling { none, linear, llama3 } scaling = Scaling::none;
  double factor = 1;                                           // linear and llama3
  double low_frequency_factor = 1, high_frequency_factor = 4;  // llama3
  int64_t original_context = 8192;                             // llama3, tokens
  std::vector<double> frequencies(int64_t head_size) const;    // (head_size / 2), radians per position
};

struct DecoderConfig {
  std::string family = "llama";
  int64_t vocabulary = 0;  // V
  int64_t hidden = 0;      // H
  int64_t layers = 0;      // L
  int64_t heads = 0, kv_heads = 0, head_size = 0;
  int64_t ffn = 0;      // F
  int64_t context = 0;  // most tokens of prompt and completion
  double norm_epsilon = 1e-5;
  bool tied = false;            // the head is the embedding
  bool attention_bias = false;  // q, k, v and o have biases
  Rope rope;
  int64_t bos = -1, pad = -1;  // token ids; -1 = none
  std::vector<int64_t> eos;    // any of these ends a text
};

struct TensorShape {
  std::string name;
  std::vector<int64_t> shape;
};

// Every parameter in the order in which it lies in the flat buffer: embedding; per layer input_layernorm, q, k, v (so
// that the three are one matrix), [their biases], o, [bias], post_attention_layernorm, gate, up (one matrix), down;
// final norm; head where untied.
std::vector<TensorShape> decoder_parameters(const DecoderConfig& config);

// Throws Failure with a sentence that names the field and the file: unknown architecture, an unsupported field
// (another activation, rope type, mlp_bias, sliding window, ...), a missing or inconsistent size.
DecoderConfig read_decoder_config(const std::string& folder);

// config.json's text for a folder that read_decoder_config and transformers read back.
std::string decoder_config_json(const DecoderConfig& config, const std::string& dtype);

}  // namespace tightrope
