// The decoder beside Hugging Face transformers: the small models of tests/fixtures/models, and SmolLM2-135M-Instruct
// as jobs/get-smollm2.sh makes it (ctest's unit_smollm2); its numbers, float32 by one thread, are in
// smollm2_golden.json (transformers 5.23.0, torch 2.15.0).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "decoder_fixture.hpp"
#include "tightrope/learn/optimiser.hpp"
#include "tightrope/policies/model_folder.hpp"

namespace tightrope::decoder_tests {
namespace {

using Json = nlohmann::json;

Json read_json(const std::string& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

std::unique_ptr<Model> load(const std::string& path) {
  const ModelFolder folder(path);
  auto model = std::make_unique<Model>(folder.config());
  folder.load({model->parameters.flat().mutable_data_ptr<float>(), static_cast<size_t>(model->parameters.size())});
  return model;
}

// In float32 the sum of 10^8 squares is wrong by a percent.
double exact_norm(const Tensor& values) { return values.norm(at::Scalar(2), at::kDouble).item<double>(); }

Tensor floats(const Json& values) { return at::tensor(values.get<std::vector<float>>()); }

void expect_close(double found, double wanted, double tolerance, const std::string& what) {
  EXPECT_LE(std::abs(found - wanted), tolerance * std::abs(wanted)) << what << ": " << found << ", not " << wanted;
}

class SmallModels : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string folder = std::string(TIGHTROPE_SOURCE "/tests/fixtures/models/") + GetParam();
    golden = read_json(folder + "/golden.json");
    model = load(folder);
    for (const Json& sequence : golden["sequences"]) sequences.push_back({sequence["tokens"].get<Tokens>(), 1});
  }

  // Golden log-probs in the order of the entries.
  static Tensor joined(const Json& rows) {
    std::vector<Tensor> out;
    for (const Json& row : rows) out.push_back(floats(row));
    return at::cat(out);
  }

  Json golden;
  std::unique_ptr<Model> model;
  std::vector<Sequence> sequences;
};

TEST_P(SmallModels, Logits) {
  for (size_t i = 0; i < sequences.size(); ++i) {
    Sequence with_end = sequences[i];
    with_end.tokens.push_back(0);  // so that the last token is a node
    const Scored batch = scored({with_end});
    for (const auto& [at, wanted] : golden["sequences"][i]["logits"].items()) {
      const Tensor found = model->decoder.logits(model->parameters.flat(), batch.tree, at::tensor({std::stol(at)}))[0];
      EXPECT_LE(largest(found - floats(wanted)), 1e-4 * largest(floats(wanted))) << i << " at " << at;
    }
  }
}

TEST_P(SmallModels, LogProbsAndGradients) {
  const Scored batch = scored(sequences);
  Json rows;
  for (const Json& sequence : golden["sequences"]) rows.push_back(sequence["log_probs"]);
  const Tensor wanted = joined(rows);
  Tensor log_prob;
  gradient(*model, batch, at::full_like(wanted, -1.0 / static_cast<double>(wanted.numel())), &log_prob);
  EXPECT_LE(largest((log_prob - wanted) / wanted.clamp_max(-1)), 1e-4);
  expect_close(-log_prob.mean().item<double>(), golden["mean_nll"], 1e-4, "mean NLL");
  for (const auto& [name, part] : golden["gradients"].items()) {
    const Tensor found = model->parameters.at(name).grad();
    expect_close(exact_norm(found), part["norm"], 1e-4, name);
    EXPECT_LE(largest(found.reshape(-1).slice(0, 0, 4) - floats(part["first"])), 1e-4 * largest(found)) << name;
  }
}

class SmallModelsWithStep : public SmallModels {};

TEST_P(SmallModelsWithStep, OneStepOfAdamW) {
  const Json& step = golden["adamw_step"];
  const Scored batch = scored(sequences);
  const Tensor wanted = joined(step["log_probs"]);
  gradient(*model, batch, at::full_like(wanted, -1.0 / static_cast<double>(wanted.numel())));
  OptimiserDeck deck;
  deck.learning_rate = step["lr"], deck.beta1 = step["betas"][0], deck.beta2 = step["betas"][1];
  deck.epsilon = step["eps"], deck.weight_decay = step["weight_decay"];
  Optimiser(deck, model->parameters, 1).step(0);
  const Tensor found = model->decoder.score(model->parameters.flat(), batch.tree, batch.request).log_prob;
  EXPECT_LE(largest((found - wanted) / wanted.clamp_max(-1)), 1e-3);
  expect_close(-found.mean().item<double>(), step["mean_nll"], 1e-4, "mean NLL");
}

std::string name_of(const testing::TestParamInfo<const char*>& which) { return which.param; }
INSTANTIATE_TEST_SUITE_P(Transformers, SmallModels,
                         testing::Values("tied_gqa", "untied_odd", "llama3_rope", "bf16_linear"), name_of);
INSTANTIATE_TEST_SUITE_P(Transformers, SmallModelsWithStep, testing::Values("tied_gqa", "untied_odd"), name_of);

class SmolLm2 : public testing::Test {
 protected:
  void SetUp() override {
    const std::string folder = TIGHTROPE_SOURCE "/models/SmolLM2-135M-Instruct";
    ASSERT_TRUE(std::filesystem::exists(folder)) << folder << " is not there: jobs/get-smollm2.sh makes it";
    golden = read_json(TIGHTROPE_SOURCE "/tests/fixtures/smollm2_golden.json");
    model = load(folder);
  }

  // Prompt `index` of the golden file followed by `answer`, which is predicted.
  Sequence sequence(size_t index, const Json& answer) const {
    const auto given = golden["prompts"][index]["ids"].get<Tokens>();
    return {given + answer.get<Tokens>(), static_cast<int64_t>(given.size())};
  }

  Scored all_prompts() const {
    std::vector<Sequence> sequences;
    for (size_t i = 0; i < golden["prompts"].size(); ++i)
      sequences.push_back(sequence(i, golden["prompts"][i]["continuation_ids"]));
    return scored(sequences);
  }

  Tensor golden_log_probs() const {
    std::vector<Tensor> out;
    for (const Json& prompt : golden["prompts"]) out.push_back(floats(prompt["continuation_logps"]));
    return at::cat(out);
  }

  Json golden;
  std::unique_ptr<Model> model;
};

TEST_F(SmolLm2, LogitsAndLogProbs) {
  const Scored batch = all_prompts();
  for (size_t i = 0; i < golden["prompts"].size(); ++i) {
    const Json& prompt = golden["prompts"][i];
    const int64_t row = batch.predictions.row[static_cast<size_t>(batch.predictions.first[i])];
    const Tensor logits = model->decoder.logits(model->parameters.flat(), batch.tree, at::tensor({row}));
    const Tensor best = logits[0].index_select(0, at::tensor(prompt["top10_ids"].get<std::vector<int64_t>>()));
    EXPECT_LE(largest(best - floats(prompt["top10_logits"])), 1e-3) << i;
  }
  const Tensor found = model->decoder.score(model->parameters.flat(), batch.tree, batch.request).log_prob;
  EXPECT_LE(largest(found - golden_log_probs()), 1e-4);
}

// Transformers drops the gradient of the embedding row of the padding token, which here is <|im_end|> and stands twice
// in the prompt; the norms of the embedding and of the whole are those with padding_idx = None.
TEST_F(SmolLm2, GradientOfMeanLogProb) {
  const Scored batch = scored({sequence(0, golden["prompts"][0]["continuation_ids"])});
  Tensor log_prob;
  const Tensor found = gradient(*model, batch, at::full({16}, -1.0 / 16), &log_prob);
  EXPECT_NEAR(-log_prob.mean().item<double>(), golden["grad"]["loss"], 1e-5);
  EXPECT_EQ(golden["grad"]["norms"].size(), 272U);
  for (const auto& [name, norm] : golden["grad"]["norms"].items())
    if (name != "model.embed_tokens.weight")  // float32 norms, as in the file
      expect_close(model->parameters.at(name).grad().norm().item<double>(), norm, 1e-4, name);
  expect_close(exact_norm(model->parameters.at("model.embed_tokens.weight").grad()), 7.843181745, 1e-4, "embedding");
  expect_close(exact_norm(found), 23.50982006, 1e-4, "whole");
  for (const auto& [name, wanted] : golden["grad"]["first4"].items()) {
    const Tensor part = model->parameters.at(name).grad();
    EXPECT_LE(largest(part.reshape(-1).slice(0, 0, 4) - floats(wanted)), 1e-4 * largest(part)) << name;
  }
}

// Half the mean square of each sample's distance from the group's mean of log R / beta + log p_ref - log p.
TEST_F(SmolLm2, TrajectoryBalance) {
  const Json& tb = golden["tb"];
  std::vector<Sequence> sequences;
  for (const Json& answer : tb["continuations"]) sequences.push_back(sequence(0, answer));
  const Scored batch = scored(sequences);
  Tensor reference = model->parameters.flat().clone();
  reference.narrow(0, 0, model->config.vocabulary * model->config.hidden).mul_(1.01);
  const auto sums = [&](const Tensor& values) {
    std::vector<Tensor> out;
    for (size_t b = 0; b + 1 < batch.predictions.first.size(); ++b)
      out.push_back(values.slice(0, batch.predictions.first[b], batch.predictions.first[b + 1]).sum());
    return at::stack(out);
  };
  const Tensor log_ref = sums(model->decoder.score(reference, batch.tree, batch.request).log_prob);
  model->parameters.zero_gradient();
  const Tensor log_p = sums(model->decoder.score(model->parameters, batch.tree, batch.request).log_prob);
  const Tensor s = log_ref - log_p + floats(tb["rewards"]) / tb["beta"].get<double>();
  const Tensor loss = 0.5 * (s.detach().mean() - s).square().mean();
  loss.backward();
  expect_close(s.mean().item<double>(), tb["log_z"], 1e-4, "log Z");
  expect_close(loss.item<double>(), tb["loss"], 1e-4, "loss");
  expect_close(exact_norm(model->parameters.gradient()), tb["grad_norm"], 1e-4, "gradient");
}

TEST_F(SmolLm2, Bfloat16IsClose) {
  const Scored batch = all_prompts();
  const Decoder rounded(model->config, Precision::bfloat16);
  const Tensor found = rounded.score(model->parameters.flat(), batch.tree, batch.request).log_prob;
  const Tensor difference = found - golden_log_probs();
  std::printf("bfloat16: mean difference %.4f, mean size %.4f, largest %.3f\n", difference.mean().item<double>(),
              difference.abs().mean().item<double>(), largest(difference));
  EXPECT_LT(difference.abs().mean().item<double>(), 0.02);
}

}  // namespace
}  // namespace tightrope::decoder_tests
