// config.json in its spellings, what is refused, and rotary frequencies against numbers of transformers.
#include "tightrope/policies/decoder_config.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "file_fixture.hpp"

namespace tightrope {
namespace {

using namespace file_fixture;
using nlohmann::json;

json smallest() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"vocab_size", 100},
          {"hidden_size", 48},
          {"intermediate_size", 96},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4}};
}

// With `changes` over the smallest configuration; null removes.
json changed(const json& changes) {
  json config = smallest();
  config.merge_patch(changes);
  return config;
}

DecoderConfig read_config(const json& config, const json& generation = nullptr) {
  const TemporaryFolder folder;
  write(folder / "config.json", config.dump());
  if (!generation.is_null()) write(folder / "generation_config.json", generation.dump());
  return read_decoder_config(folder.path());
}

std::string problem(const json& changes, const json& generation = nullptr) {
  return failure_of([&] { read_config(changed(changes), generation); });
}

TEST(DecoderConfig, AbsentFieldsAreThoseOfTransformers) {
  const DecoderConfig c = read_config(smallest());
  EXPECT_EQ(c.family, "llama");
  EXPECT_EQ(c.vocabulary, 100);
  EXPECT_EQ(c.hidden, 48);
  EXPECT_EQ(c.layers, 2);
  EXPECT_EQ(c.ffn, 96);
  EXPECT_EQ(c.heads, 4);
  EXPECT_EQ(c.kv_heads, 4);
  EXPECT_EQ(c.head_size, 12);
  EXPECT_EQ(c.context, 2048);
  EXPECT_EQ(c.norm_epsilon, 1e-6);
  EXPECT_FALSE(c.tied);
  EXPECT_FALSE(c.attention_bias);
  EXPECT_EQ(c.rope.theta, 10000);
  EXPECT_EQ(c.rope.scaling, Rope::Scaling::none);
  EXPECT_EQ(c.bos, -1);
  EXPECT_EQ(c.pad, -1);
  EXPECT_TRUE(c.eos.empty());
}

TEST(DecoderConfig, BothSpellingsOfTheRotationAreRead) {
  const auto rope = [](const json& changes) { return read_config(changed(changes)).rope; };
  EXPECT_EQ(rope({{"rope_theta", 500}}).theta, 500);
  EXPECT_EQ(rope({{"rope_theta", 500}, {"rope_scaling", nullptr}}).theta, 500);
  EXPECT_EQ(rope({{"rope_parameters", {{"rope_theta", 700.0}, {"rope_type", "default"}}}}).theta, 700);
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    for (const char* type : {"type", "rope_type"}) {
      const Rope read = rope({{"rope_theta", 500}, {name, {{type, "linear"}, {"factor", 4}}}});
      EXPECT_EQ(read.scaling, Rope::Scaling::linear);
      EXPECT_EQ(read.theta, 500);
      EXPECT_EQ(read.factor, 4);
    }
  }
  const json llama3 = {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 1}, {"high_freq_factor", 4}};
  const Rope read = rope({{"rope_scaling", llama3}, {"max_position_embeddings", 512}});
  EXPECT_EQ(read.scaling, Rope::Scaling::llama3);
  EXPECT_EQ(read.original_context, 512);  // as transformers where it is not given
}

TEST(DecoderConfig, TokenIdsComeFromBothFiles) {
  const json config = changed({{"bos_token_id", 1}, {"eos_token_id", 2}, {"pad_token_id", -1}});
  EXPECT_EQ(read_config(config).eos, std::vector<int64_t>{2});
  EXPECT_EQ(read_config(config).bos, 1);
  EXPECT_EQ(read_config(config).pad, -1);
  EXPECT_EQ(read_config(changed({{"eos_token_id", {3, 5}}})).eos, (std::vector<int64_t>{3, 5}));
  const DecoderConfig both = read_config(config, {{"eos_token_id", {7, 9}}, {"pad_token_id", 4}});
  EXPECT_EQ(both.eos, (std::vector<int64_t>{7, 9}));
  EXPECT_EQ(both.pad, 4);
  EXPECT_EQ(both.bos, 1);
  EXPECT_EQ(read_config(config, json{{"temperature", 0.6}}).eos, std::vector<int64_t>{2});
  EXPECT_TRUE(has(problem(json::object(), {{"eos_token_id", 100}}), "eos_token_id = 100"));
  EXPECT_TRUE(has(problem(json::object(), {{"eos_token_id", 100}}), "generation_config.json' is not supported"));
}

TEST(DecoderConfig, WhatIsNotSupportedIsNamed) {
  struct Case {
    json changes;
    std::string says;
  };
  const json dynamic = {{"type", "dynamic"}, {"factor", 2}}, yarn = {{"rope_type", "yarn"}, {"factor", 2}};
  const json swapped = {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}};
  const std::vector<Case> cases = {
      {{{"architectures", {"MambaForCausalLM"}}}, R"(architectures = ["MambaForCausalLM"] in ')"},
      {{{"architectures", {"MambaForCausalLM"}}}, "config.json' is not supported (known: LlamaForCausalLM)"},
      {{{"architectures", nullptr}}, "architectures = null"},
      {{{"architectures", "LlamaForCausalLM"}}, "(it must be a list of texts)"},
      {{{"architectures", {1}}}, "(it must be a list of texts)"},
      {{{"model_type", "mistral"}}, R"(model_type = "mistral")"},
      {{{"hidden_act", "gelu"}}, R"(hidden_act = "gelu")"},
      {{{"hidden_act", "gelu"}}, R"((only "silu" is))"},
      {{{"mlp_bias", true}}, "mlp_bias = true"},
      {{{"pretraining_tp", 2}}, "pretraining_tp = 2"},
      {{{"attention_dropout", 0.1}}, "attention_dropout = 0.1"},
      {{{"use_sliding_window", true}}, "use_sliding_window = true"},
      {{{"sliding_window", 512}}, "sliding_window = 512"},
      {{{"layer_types", {"full_attention"}}}, "layer_types = "},
      {{{"quantization_config", {{"bits", 4}}}}, R"(quantization_config = {"bits":4})"},
      {{{"partial_rotary_factor", 0.5}}, "partial_rotary_factor = 0.5"},
      {{{"rope_parameters", {{"partial_rotary_factor", 0.5}}}}, "rope_parameters.partial_rotary_factor = 0.5"},
      {{{"rope_scaling", dynamic}}, R"(rope_scaling.type = "dynamic")"},
      {{{"rope_scaling", dynamic}}, "(default, linear and llama3 are)"},
      {{{"rope_parameters", yarn}}, R"(rope_parameters.rope_type = "yarn")"},
      {{{"rope_scaling", {{"type", "linear"}}}}, "rope_scaling.factor is missing"},
      {{{"rope_scaling", {{"type", "linear"}, {"factor", 0.5}}}}, "rope_scaling.factor = 0.5"},
      {{{"rope_scaling", {{"type", "llama3"}, {"factor", 2}}}}, "rope_scaling.low_freq_factor is missing"},
      {{{"rope_scaling", swapped}}, "it must be below high_freq_factor"},
      {{{"rope_scaling", "linear"}}, "rope_scaling is not a JSON object"},
      {{{"rope_theta", 0}}, "rope_theta = 0"},
      {{{"rope_theta", "x"}}, R"(rope_theta = "x")"},
      {{{"vocab_size", nullptr}}, "vocab_size is missing in '"},
      {{{"hidden_size", nullptr}}, "hidden_size is missing"},
      {{{"num_hidden_layers", nullptr}}, "num_hidden_layers is missing"},
      {{{"num_attention_heads", nullptr}}, "num_attention_heads is missing"},
      {{{"intermediate_size", nullptr}}, "intermediate_size is missing"},
      {{{"vocab_size", -5}}, "vocab_size = -5"},
      {{{"vocab_size", 100.5}}, "vocab_size = 100.5"},
      {{{"vocab_size", 18446744073709551615U}}, "it must be a whole number between 1 and 100000000"},
      {{{"num_attention_heads", 5}}, "hidden_size = 48"},
      {{{"num_key_value_heads", 3}}, "num_key_value_heads = 3"},
      {{{"num_key_value_heads", 0}}, "num_key_value_heads = 0"},
      {{{"head_dim", 15}}, "head_dim = 15"},
      {{{"hidden_size", 2}, {"head_dim", nullptr}, {"num_attention_heads", 2}}, "hidden_size = 2"},
      {{{"tie_word_embeddings", 1}}, "tie_word_embeddings = 1"},
      {{{"attention_bias", "no"}}, R"(attention_bias = "no")"},
      {{{"rms_norm_eps", 2}}, "rms_norm_eps = 2"},
      {{{"eos_token_id", {1, 100}}}, "eos_token_id = [1,100]"},
      {{{"eos_token_id", -1}}, "eos_token_id = -1"},
      {{{"bos_token_id", 100}}, "bos_token_id = 100"},
      {{{"pad_token_id", 100}}, "pad_token_id = 100"},
  };
  for (const Case& c : cases) EXPECT_TRUE(has(problem(c.changes), c.says)) << c.changes;
  EXPECT_EQ(problem(json::object()), "");
}

TEST(DecoderConfig, FilesThatAreNoConfigurationAreNamed) {
  const TemporaryFolder folder;
  const auto says = [&] { return failure_of([&] { read_decoder_config(folder.path()); }); };
  EXPECT_TRUE(has(says(), "cannot read '" + (folder / "config.json") + "' (No such file or directory)"));
  write(folder / "config.json", "[]");
  EXPECT_TRUE(has(says(), "is no configuration (it is not a JSON object)"));
  write(folder / "config.json", R"({"a": 1,})");
  EXPECT_TRUE(has(says(), "at byte 9"));
  write(folder / "config.json", "");
  EXPECT_TRUE(has(says(), "is not JSON"));
}

TEST(DecoderConfig, ParametersLieInTheAgreedOrder) {
  DecoderConfig c = read_config(changed({{"num_hidden_layers", 1}, {"attention_bias", true}, {"head_dim", 20}}));
  c.kv_heads = 2;
  const std::vector<std::pair<std::string, std::vector<int64_t>>> expected = {
      {"model.embed_tokens.weight", {100, 48}},
      {"model.layers.0.input_layernorm.weight", {48}},
      {"model.layers.0.self_attn.q_proj.weight", {80, 48}},
      {"model.layers.0.self_attn.k_proj.weight", {40, 48}},
      {"model.layers.0.self_attn.v_proj.weight", {40, 48}},
      {"model.layers.0.self_attn.q_proj.bias", {80}},
      {"model.layers.0.self_attn.k_proj.bias", {40}},
      {"model.layers.0.self_attn.v_proj.bias", {40}},
      {"model.layers.0.self_attn.o_proj.weight", {48, 80}},
      {"model.layers.0.self_attn.o_proj.bias", {48}},
      {"model.layers.0.post_attention_layernorm.weight", {48}},
      {"model.layers.0.mlp.gate_proj.weight", {96, 48}},
      {"model.layers.0.mlp.up_proj.weight", {96, 48}},
      {"model.layers.0.mlp.down_proj.weight", {48, 96}},
      {"model.norm.weight", {48}},
      {"lm_head.weight", {100, 48}}};
  const auto list = decoder_parameters(c);
  ASSERT_EQ(list.size(), expected.size());
  for (size_t i = 0; i < list.size(); ++i) {
    EXPECT_EQ(list[i].name, expected[i].first);
    EXPECT_EQ(list[i].shape, expected[i].second) << list[i].name;
  }
  c.tied = true;
  c.attention_bias = false;
  EXPECT_EQ(decoder_parameters(c).size(), expected.size() - 5);
}

TEST(DecoderConfig, WhatIsWrittenIsReadBack) {
  for (const char* name : {"tied_gqa", "untied_odd", "llama3_rope", "bf16_linear"}) {
    const DecoderConfig c = read_decoder_config(fixture_model(name));
    const std::string text = decoder_config_json(c, "float32");
    const DecoderConfig back = read_config(json::parse(text));
    EXPECT_EQ(decoder_config_json(back, "float32"), text);
    EXPECT_EQ(json::parse(text)["torch_dtype"], "float32");
    EXPECT_EQ(back.rope.frequencies(c.head_size), c.rope.frequencies(c.head_size));
    EXPECT_EQ(back.eos, c.eos);
    EXPECT_EQ(back.bos, c.bos);
    EXPECT_EQ(back.pad, c.pad);
    EXPECT_EQ(back.norm_epsilon, c.norm_epsilon);
    EXPECT_EQ(back.context, c.context);
  }
}

// transformers computes them in float32.
TEST(DecoderConfig, FrequenciesAreThoseOfTransformers) {
  for (const char* name : {"tied_gqa", "untied_odd", "llama3_rope", "bf16_linear"}) {
    const DecoderConfig c = read_decoder_config(fixture_model(name));
    const auto golden =
        json::parse(read(fixture_model(name) + "/golden.json"))["frequencies"].get<std::vector<double>>();
    const std::vector<double> list = c.rope.frequencies(c.head_size);
    ASSERT_EQ(list.size(), golden.size());
    for (size_t i = 0; i < list.size(); ++i) EXPECT_NEAR(list[i] / golden[i], 1, 1e-6) << name << " " << i;
  }
}

// Llama 3.1 8B: theta 500000, head 128, factor 8, 1, 4, 8192; the bands of transformers' float32 inv_freq.
TEST(DecoderConfig, Llama31HasItsThreeBands) {
  const Rope rope{.theta = 500000, .scaling = Rope::Scaling::llama3, .factor = 8};
  const std::vector<double> list = rope.frequencies(128);
  ASSERT_EQ(list.size(), 64U);
  const std::vector<std::pair<size_t, double>> golden = {{0, 1},
                                                         {1, 0.814617217},
                                                         {17, 0.0306345206},
                                                         {28, 0.00321144611},
                                                         {29, 0.00216657063},
                                                         {30, 0.00137189368},
                                                         {31, 0.00085675146},
                                                         {32, 0.000524846022},
                                                         {33, 0.00031269365},
                                                         {34, 0.000178507791},
                                                         {35, 9.55621217e-05},
                                                         {36, 7.78465546e-05},
                                                         {50, 4.41153452e-06},
                                                         {63, 3.06892588e-07}};
  for (const auto& [i, frequency] : golden) EXPECT_NEAR(list[i] / frequency, 1, 1e-6) << i;
}

}  // namespace
}  // namespace tightrope
