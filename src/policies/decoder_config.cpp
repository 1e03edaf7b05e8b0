// A family is one row of `families`: its name in config.json, and how its fields are read.
#include "tightrope/policies/decoder_config.hpp"

#include <cmath>
#include <filesystem>
#include <numbers>

#include "config_fields.hpp"
#include "tightrope/base/check.hpp"
#include "tightrope/base/json.hpp"
#include "tightrope/base/mapped_file.hpp"

namespace tightrope {
namespace {

using nlohmann::json;

// The largest sizes keep the count of all parameters below 2^63.
constexpr Limits tokens{1, 1e8}, widths{1, 1e6}, ffn_widths{1, 1e7}, counts{1, 1e4}, positive{1e-12, 1e12};

ConfigFields read_fields(const std::string& path) { return {parse_json(read_text_file(path), path), path}; }

// Old files: rope_theta at top level, rope_scaling null or {type or rope_type, ...}.  New ones: rope_parameters with
// all of it.  transformers takes rope_scaling where both are there.
Rope read_rope(const ConfigFields& fields) {
  fields.must_be("partial_rotary_factor", 1);
  const char* const name = fields.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  const ConfigFields scaling = fields.object(name);
  scaling.must_be("partial_rotary_factor", 1);
  Rope rope;
  rope.theta = scaling.real("rope_theta", positive, fields.real("rope_theta", positive, rope.theta));
  const char* const type_name = scaling.has("rope_type") ? "rope_type" : "type";
  const std::string type = scaling.text(type_name, "default");
  if (type == "default") return rope;
  if (type != "linear" && type != "llama3") scaling.refuse(type_name, "default, linear and llama3 are");
  rope.scaling = type == "linear" ? Rope::Scaling::linear : Rope::Scaling::llama3;
  rope.factor = scaling.real("factor", {1, 1e6});
  if (rope.scaling == Rope::Scaling::linear) return rope;
  rope.low_frequency_factor = scaling.real("low_freq_factor", positive);
  rope.high_frequency_factor = scaling.real("high_freq_factor", positive);
  if (rope.low_frequency_factor >= rope.high_frequency_factor)
    scaling.refuse("low_freq_factor", "it must be below high_freq_factor");
  rope.original_context = scaling.integer("original_max_position_embeddings", tokens,
                                          fields.integer("max_position_embeddings", tokens, rope.original_context));
  return rope;
}

// Absent sizes are those of transformers' LlamaConfig.
void read_llama(const ConfigFields& fields, DecoderConfig& config) {
  config.vocabulary = fields.integer("vocab_size", tokens);
  config.hidden = fields.integer("hidden_size", widths);
  config.layers = fields.integer("num_hidden_layers", counts);
  config.heads = fields.integer("num_attention_heads", counts);
  config.kv_heads = fields.integer("num_key_value_heads", counts, config.heads);
  if (config.heads % config.kv_heads != 0)
    fields.refuse("num_key_value_heads", "it must divide the " + std::to_string(config.heads) + " attention heads");
  if (!fields.has("head_dim") && config.hidden % config.heads != 0)
    fields.refuse("hidden_size", "it must be a multiple of num_attention_heads, or head_dim be given");
  config.head_size = fields.integer("head_dim", counts, config.hidden / config.heads);
  if (config.head_size % 2 != 0 || config.head_size == 0)
    fields.refuse(fields.has("head_dim") ? "head_dim" : "hidden_size", "a head must have an even size to be rotated");
  config.ffn = fields.integer("intermediate_size", ffn_widths);
  config.context = fields.integer("max_position_embeddings", tokens, 2048);
  config.norm_epsilon = fields.real("rms_norm_eps", {0, 1}, 1e-6);
  config.tied = fields.flag("tie_word_embeddings", false);
  config.attention_bias = fields.flag("attention_bias", false);
  config.rope = read_rope(fields);
  fields.must_be("model_type", "llama");
  fields.must_be("hidden_act", "silu");
  fields.must_be("mlp_bias", false);
  fields.must_be("pretraining_tp", 1);
  fields.must_be("attention_dropout", 0);
  fields.must_be("use_sliding_window", false);
  for (const char* name : {"sliding_window", "layer_types", "quantization_config"}) fields.must_be_absent(name);
}

struct Family {
  const char *architecture, *name;
  void (*read)(const ConfigFields&, DecoderConfig&);
};
constexpr Family families[] = {{"LlamaForCausalLM", "llama", read_llama}};

const Family& family_of(const ConfigFields& fields) {
  const std::vector<std::string> names = fields.texts("architectures");
  std::string known;
  for (const Family& family : families) {
    if (names == std::vector<std::string>{family.architecture}) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  }
  fields.refuse("architectures", "known: " + known);
}

void read_token_ids(const ConfigFields& fields, DecoderConfig& config) {
  const Limits ids{0, static_cast<double>(config.vocabulary - 1)}, or_none{-1, ids.most};
  config.bos = fields.integer("bos_token_id", or_none, config.bos);
  config.pad = fields.integer("pad_token_id", or_none, config.pad);
  if (fields.has("eos_token_id")) config.eos = fields.integers("eos_token_id", ids);
}

double llama3_frequency(const Rope& rope, double frequency) {
  const double turns = static_cast<double>(rope.original_context) * frequency / (2 * std::numbers::pi);
  if (turns > rope.high_frequency_factor) return frequency;
  if (turns < rope.low_frequency_factor) return frequency / rope.factor;
  const double share = (turns - rope.low_frequency_factor) / (rope.high_frequency_factor - rope.low_frequency_factor);
  return (1 - share) * frequency / rope.factor + share * frequency;
}

json scaling_json(const Rope& rope) {
  if (rope.scaling == Rope::Scaling::none) return nullptr;
  if (rope.scaling == Rope::Scaling::linear) return {{"rope_type", "linear"}, {"factor", rope.factor}};
  return {{"rope_type", "llama3"},
          {"factor", rope.factor},
          {"low_freq_factor", rope.low_frequency_factor},
          {"high_freq_factor", rope.high_frequency_factor},
          {"original_max_position_embeddings", rope.original_context}};
}

}  // namespace

// llama3: wavelengths beyond original_context / low_frequency_factor are stretched by `factor`, those below
// original_context / high_frequency_factor are not, between them the share is linear in the turns per context.
// Source: Llama 3.1; _compute_llama3_parameters of transformers' modeling_rope_utils.py.
std::vector<double> Rope::frequencies(int64_t head_size) const {
  std::vector<double> list(static_cast<size_t>(head_size / 2));
  for (size_t i = 0; i < list.size(); ++i) {
    const double frequency = std::pow(theta, -2 * static_cast<double>(i) / static_cast<double>(head_size));
    list[i] = scaling == Scaling::none     ? frequency
              : scaling == Scaling::linear ? frequency / factor
                                           : llama3_frequency(*this, frequency);
  }
  return list;
}

std::vector<TensorShape> decoder_parameters(const DecoderConfig& c) {
  const int64_t q = c.heads * c.head_size, kv = c.kv_heads * c.head_size;
  std::vector<TensorShape> list = {{"model.embed_tokens.weight", {c.vocabulary, c.hidden}}};
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    const std::string block = "model.layers." + std::to_string(layer) + ".", attention = block + "self_attn.";
    list.push_back({block + "input_layernorm.weight", {c.hidden}});
    list.push_back({attention + "q_proj.weight", {q, c.hidden}});
    list.push_back({attention + "k_proj.weight", {kv, c.hidden}});
    list.push_back({attention + "v_proj.weight", {kv, c.hidden}});
    if (c.attention_bias) {
      list.push_back({attention + "q_proj.bias", {q}});
      list.push_back({attention + "k_proj.bias", {kv}});
      list.push_back({attention + "v_proj.bias", {kv}});
    }
    list.push_back({attention + "o_proj.weight", {c.hidden, q}});
    if (c.attention_bias) list.push_back({attention + "o_proj.bias", {c.hidden}});
    list.push_back({block + "post_attention_layernorm.weight", {c.hidden}});
    list.push_back({block + "mlp.gate_proj.weight", {c.ffn, c.hidden}});
    list.push_back({block + "mlp.up_proj.weight", {c.ffn, c.hidden}});
    list.push_back({block + "mlp.down_proj.weight", {c.hidden, c.ffn}});
  }
  list.push_back({"model.norm.weight", {c.hidden}});
  if (!c.tied) list.push_back({"lm_head.weight", {c.vocabulary, c.hidden}});
  return list;
}

DecoderConfig read_decoder_config(const std::string& folder) {
  const ConfigFields fields = read_fields(folder + "/config.json");
  const Family& family = family_of(fields);
  DecoderConfig config;
  config.family = family.name;
  family.read(fields, config);
  read_token_ids(fields, config);
  const std::string generation = folder + "/generation_config.json";  // transformers generates by it where it is there
  std::error_code unreadable;
  if (std::filesystem::exists(generation, unreadable)) read_token_ids(read_fields(generation), config);
  return config;
}

std::string decoder_config_json(const DecoderConfig& c, const std::string& dtype) {
  const auto id = [](int64_t token) { return token < 0 ? json() : json(token); };
  const json eos = c.eos.empty() ? json() : c.eos.size() == 1 ? json(c.eos[0]) : json(c.eos);
  const nlohmann::ordered_json text = {{"architectures", {"LlamaForCausalLM"}},
                                       {"model_type", c.family},
                                       {"torch_dtype", dtype},
                                       {"vocab_size", c.vocabulary},
                                       {"hidden_size", c.hidden},
                                       {"intermediate_size", c.ffn},
                                       {"num_hidden_layers", c.layers},
                                       {"num_attention_heads", c.heads},
                                       {"num_key_value_heads", c.kv_heads},
                                       {"head_dim", c.head_size},
                                       {"max_position_embeddings", c.context},
                                       {"rms_norm_eps", c.norm_epsilon},
                                       {"rope_theta", c.rope.theta},
                                       {"rope_scaling", scaling_json(c.rope)},
                                       {"hidden_act", "silu"},
                                       {"attention_bias", c.attention_bias},
                                       {"mlp_bias", false},
                                       {"tie_word_embeddings", c.tied},
                                       {"bos_token_id", id(c.bos)},
                                       {"eos_token_id", eos},
                                       {"pad_token_id", id(c.pad)}};
  return text.dump(2) + "\n";
}

}  // namespace tightrope
