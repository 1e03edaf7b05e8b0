// The fixtures load (tests/fixtures/make_models.py), exports come back, and broken folders are named.
#include "tightrope/policies/model_folder.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "file_fixture.hpp"
#include "tightrope/base/new_file.hpp"

namespace tightrope {
namespace {

using namespace file_fixture;
using nlohmann::json;

std::vector<float> load(const ModelFolder& model) {
  std::vector<float> flat(static_cast<size_t>(model.parameter_count()));
  model.load(flat);
  return flat;
}

DecoderConfig tiny() {
  DecoderConfig config;
  config.vocabulary = 5;
  config.hidden = 4;
  config.layers = 1;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_size = 2;
  config.ffn = 3;
  config.context = 8;
  return config;
}

std::vector<float> counted(const DecoderConfig& config) {
  std::vector<float> flat;
  for (const TensorShape& parameter : decoder_parameters(config)) {
    int64_t count = 1;
    for (const int64_t size : parameter.shape) count *= size;
    for (int64_t i = 0; i < count; ++i) flat.push_back(static_cast<float>(flat.size()) * 0.5F);
  }
  return flat;
}

// A folder of the tiny model whose weights a test may break.
class TinyFolder {
 public:
  TinyFolder() {
    tightrope::write_text_file(*this / "config.json", decoder_config_json(tiny(), "float32"));
    for (const TensorShape& parameter : decoder_parameters(tiny())) {
      shapes[parameter.name] = parameter.shape;
      values[parameter.name] = std::vector<float>(20, 1.0F);
    }
  }
  std::string operator/(const std::string& name) const { return folder_ / name; }
  std::string path() const { return folder_.path(); }

  void save(const std::string& file, const std::string& prefix = "") const {
    std::vector<TensorToWrite> tensors;
    for (const auto& [name, shape] : shapes) {
      size_t count = 1;
      for (const int64_t size : shape) count *= static_cast<size_t>(size);
      if (name.starts_with(prefix)) tensors.push_back({name, shape, std::span(values.at(name)).first(count)});
    }
    write_safetensors(*this / file, tensors, Dtype::float32, {});
  }
  std::string problem() const {
    return failure_of([&] { load(ModelFolder(path())); });
  }

  std::map<std::string, std::vector<int64_t>> shapes;
  std::map<std::string, std::vector<float>> values;

 private:
  TemporaryFolder folder_;
};

TEST(ModelFolder, FixturesLoad) {
  struct Case {
    const char* name;
    int64_t parameters;
    size_t tensors;
    Dtype dtype;
  };
  for (const Case& c :
       {Case{"tied_gqa", 46368, 20, Dtype::float32}, Case{"untied_odd", 83844, 42, Dtype::float32},
        Case{"llama3_rope", 46416, 21, Dtype::float16}, Case{"bf16_linear", 25024, 20, Dtype::bfloat16}}) {
    const ModelFolder model(fixture_model(c.name));
    EXPECT_EQ(model.parameter_count(), c.parameters) << c.name;
    EXPECT_EQ(model.parameters().size(), c.tensors) << c.name;
    EXPECT_EQ(model.bytes(), c.parameters * dtype_bytes(c.dtype)) << c.name;
    const std::vector<float> flat = load(model);
    size_t at = 0;
    for (const TensorShape& parameter : model.parameters()) {
      const StoredTensor stored = model.tensor(parameter.name);
      EXPECT_EQ(stored.dtype, c.dtype);
      EXPECT_TRUE(std::ranges::equal(stored.shape, parameter.shape));
      const auto mapped = model.mapped(parameter.name);
      ASSERT_EQ(mapped.has_value(), c.dtype == Dtype::float32);
      const size_t count = stored.bytes.size() / static_cast<size_t>(dtype_bytes(c.dtype));
      if (mapped) {
        EXPECT_TRUE(std::ranges::equal(*mapped, std::span(flat).subspan(at, count)));
      }
      at += count;
    }
    EXPECT_EQ(at, flat.size());
  }
}

// Against numbers that Python read out of the same files.
TEST(ModelFolder, ValuesAreThoseOfTheFiles) {
  const auto near = [](const char* name, size_t first, const std::vector<float>& golden) {
    const std::vector<float> flat = load(ModelFolder(fixture_model(name)));
    for (size_t i = 0; i < golden.size(); ++i) EXPECT_EQ(flat[first + i], golden[i]) << name << " " << i;
  };
  near("tied_gqa", 46320, {0.754776716F, 1.11421025F, 1.51401579F, 1.15766883F});  // model.norm.weight
  near("untied_odd", 63016,
       {-0.0284800157F, -0.126933023F, 0.188213229F, 0.578421295F});  // model.layers.2.self_attn.k_proj.bias
  near("llama3_rope", 41760, {-0.096862793F, 0.0524597168F, 0.0852050781F, -0.0354919434F});  // lm_head.weight
  near("bf16_linear", 22688,
       {0.0595703125F, -0.129882812F, 0.206054688F, 0.137695312F});  // model.layers.1.mlp.down_proj.weight
}

TEST(ModelFolder, ConfigurationsOfTheFixturesAreRead) {
  const DecoderConfig tied = ModelFolder(fixture_model("tied_gqa")).config();
  EXPECT_TRUE(tied.tied);
  EXPECT_EQ(tied.kv_heads, 2);
  EXPECT_EQ(tied.rope.theta, 100000);
  const DecoderConfig odd = ModelFolder(fixture_model("untied_odd")).config();
  EXPECT_FALSE(odd.tied);
  EXPECT_TRUE(odd.attention_bias);
  EXPECT_EQ(odd.head_size, 20);
  EXPECT_EQ(odd.hidden, 42);
  EXPECT_EQ(odd.eos, (std::vector<int64_t>{3, 5, 7}));  // generation_config.json's
  const DecoderConfig llama3 = ModelFolder(fixture_model("llama3_rope")).config();
  EXPECT_EQ(llama3.rope.scaling, Rope::Scaling::llama3);
  EXPECT_EQ(llama3.rope.original_context, 32);
  EXPECT_EQ(llama3.head_size, 24);
  const DecoderConfig linear = ModelFolder(fixture_model("bf16_linear")).config();
  EXPECT_EQ(linear.rope.scaling, Rope::Scaling::linear);
  EXPECT_EQ(linear.kv_heads, 4);
}

TEST(ModelFolder, WhatIsWrongIsListedTogether) {
  TinyFolder folder;
  folder.shapes.erase("model.norm.weight");
  folder.shapes["lm_head.weight"] = {4, 5};
  folder.shapes["model.layers.0.mlp.up_proj.bias"] = {3};
  folder.values["model.layers.0.mlp.up_proj.bias"] = std::vector<float>(3);
  folder.save("model.safetensors");
  EXPECT_EQ(folder.problem(),
            "the weights in '" + folder.path() +
                "' are not those of its config.json (missing: model.norm.weight; not expected: "
                "model.layers.0.mlp.up_proj.bias; of another shape: lm_head.weight is (4, 5) instead of (5, 4)) "
                "get the model again from where it came");
  folder.shapes.clear();
  folder.save("model.safetensors");
  EXPECT_TRUE(has(folder.problem(), "model.layers.0.mlp.gate_proj.weight and 4 more)"));
}

TEST(ModelFolder, HarmlessExtrasAreIgnored) {
  TinyFolder folder;
  folder.shapes["model.layers.0.self_attn.rotary_emb.inv_freq"] = {1};
  folder.values["model.layers.0.self_attn.rotary_emb.inv_freq"] = {1};
  folder.save("model.safetensors");
  EXPECT_EQ(folder.problem(), "");
  DecoderConfig tied = tiny();
  tied.tied = true;
  tightrope::write_text_file(folder / "config.json", decoder_config_json(tied, "float32"));
  EXPECT_EQ(folder.problem(), "");  // lm_head.weight is there all the same
  EXPECT_EQ(ModelFolder(folder.path()).parameter_count(), static_cast<int64_t>(counted(tied).size()));
}

TEST(ModelFolder, ValuesThatAreNotFiniteAreNamed) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    TinyFolder folder;
    folder.values["model.layers.0.mlp.down_proj.weight"][11] = bad;
    folder.save("model.safetensors");
    EXPECT_TRUE(has(folder.problem(), "tensor 'model.layers.0.mlp.down_proj.weight' of '" + folder.path() +
                                          "' cannot be used (it holds a NaN or an infinity)"));
  }
}

TEST(ModelFolder, ShardsAreFoundByTheIndex) {
  TinyFolder folder;
  const auto index = [&](const json& map) {
    write(folder / "model.safetensors.index.json", json{{"weight_map", map}}.dump());
    return folder.problem();
  };
  EXPECT_TRUE(has(folder.problem(), "holds no weights (neither model.safetensors nor model.safetensors.index.json)"));
  folder.save("a.safetensors", "model");
  folder.save("b.safetensors", "lm_head");
  EXPECT_EQ(index({{"x", "a.safetensors"}, {"y", "b.safetensors"}, {"z", "a.safetensors"}}), "");
  EXPECT_TRUE(has(index({{"x", "a.safetensors"}}), "(missing: lm_head.weight)"));
  EXPECT_TRUE(has(index({{"x", "a.safetensors"}, {"y", "c.safetensors"}, {"z", "d.safetensors"}}),
                  "is not complete (model.safetensors.index.json names c.safetensors, d.safetensors)"));
  for (const char* name : {"../a.safetensors", "", ".", "..", "/a.safetensors", "x/"})
    EXPECT_TRUE(has(index({{"x", name}}), "it places x in \"")) << name;
  EXPECT_TRUE(has(index({{"x", 3}}), "it places x in 3"));
  EXPECT_TRUE(has(index(3), "it has no weight_map"));
  folder.save("c.safetensors", "lm_head");
  EXPECT_TRUE(has(index({{"x", "a.safetensors"}, {"y", "b.safetensors"}, {"z", "c.safetensors"}}),
                  "(in two files: lm_head.weight)"));
}

TEST(ModelFolder, AnExportComesBack) {
  const TemporaryFolder folder;
  const std::vector<float> flat = counted(tiny());
  write(folder / "tokenizer.json", "{}");
  write(folder / "chat_template.jinja", "template");
  write(folder / "notes.txt", "not for export");
  write_model_folder(folder / "deep/out/", tiny(), flat, Dtype::float32, folder.path());
  EXPECT_EQ(names_in(folder / "deep"), std::vector<std::string>{"out"});
  EXPECT_EQ(names_in(folder / "deep/out"),
            (std::vector<std::string>{"chat_template.jinja", "config.json", "generation_config.json",
                                      "model.safetensors", "tokenizer.json"}));
  EXPECT_EQ(read(folder / "deep/out/chat_template.jinja"), "template");
  EXPECT_EQ(load(ModelFolder(folder / "deep/out")), flat);

  fs::create_directory(folder / "empty");  // an empty folder may be filled
  write_model_folder(folder / "empty", tiny(), flat, Dtype::bfloat16, "");
  const ModelFolder rounded(folder / "empty");
  const std::vector<float> values = load(rounded);
  for (size_t i = 0; i < flat.size(); ++i)
    EXPECT_EQ(std::bit_cast<uint32_t>(values[i]), static_cast<uint32_t>(to_bfloat16(flat[i])) << 16);
  EXPECT_FALSE(rounded.mapped("lm_head.weight").has_value());
  EXPECT_EQ(json::parse(read(folder / "empty/config.json"))["torch_dtype"], "bfloat16");
  EXPECT_EQ(json::parse(read(folder / "empty/generation_config.json")), json::object());  // no token ids at all
}

TEST(ModelFolder, FixturesSurviveAnExport) {
  for (const char* name : {"tied_gqa", "untied_odd", "llama3_rope", "bf16_linear"}) {
    const TemporaryFolder folder;
    const ModelFolder model(fixture_model(name));
    write_model_folder(folder / "out", model.config(), load(model), Dtype::float32, model.folder());
    const ModelFolder back(folder / "out");
    EXPECT_EQ(load(back), load(model)) << name;
    EXPECT_EQ(back.config().eos, model.config().eos) << name;
    const json generation = json::parse(read(folder / "out/generation_config.json"));
    EXPECT_EQ(generation["eos_token_id"].is_number(), model.config().eos.size() == 1) << name;
  }
}

TEST(ModelFolder, ARefusedExportLeavesNothing) {
  const TemporaryFolder folder;
  std::vector<float> flat = counted(tiny());
  const auto says = [&](const std::string& name, const std::string& source) {
    return failure_of([&] { write_model_folder(folder / name, tiny(), flat, Dtype::float32, source); });
  };
  write(folder / "file", "x");
  EXPECT_TRUE(has(says("file", ""),
                  "the model is not exported to '" + (folder / "file") + "' (it is there and not an empty folder)"));
  EXPECT_TRUE(has(says("", ""), "it is there and not an empty folder"));
  EXPECT_TRUE(has(says("file/out", ""), "cannot make the folder"));
  fs::create_directories(folder / "source");
  fs::create_symlink("nowhere", folder / "source/vocab.json");
  fs::create_directories(folder / "source/merges.txt");
  write(folder / "source/tokenizer.json", "{}");
  EXPECT_EQ(says("out", folder / "source"), "");  // a dangling link is no file
  flat[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(has(says("other", ""), "model.embed_tokens.weight holds a NaN or an infinity"));
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"file", "out", "source"}));
}

}  // namespace
}  // namespace tightrope
