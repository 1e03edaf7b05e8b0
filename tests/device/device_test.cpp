// What a trainer computes on a GPU is what it computes on the CPU.  Only registered where there is a GPU.
#include <gtest/gtest.h>

#include <filesystem>

#include "../unit/torch/decoder_fixture.hpp"
#include "tightrope/base/json.hpp"
#include "tightrope/core/gpu_part.hpp"
#include "tightrope/learn/optimiser.hpp"
#include "tightrope/policies/mlp.hpp"
#include "tightrope/policies/model_folder.hpp"
#include "tightrope/run/weight_staging.hpp"

namespace tightrope::decoder_tests {
namespace {

const at::Device kGpu(at::kCUDA, 0);

class Gpu : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(open_gpu(0), ""); }
};

double apart(const Tensor& found, const Tensor& wanted) {
  return largest(found.cpu().to(at::kFloat) - wanted.to(at::kFloat)) / largest(wanted.to(at::kFloat));
}

// The same decoder with its parameters on the GPU.
ParameterSet on_gpu(const DecoderConfig& config, const Tensor& flat) {
  ParameterSet set;
  set.place(kGpu);
  add_decoder_parameters(config, set);
  set.flat().copy_(flat);
  return set;
}

Tensor gradient(const Decoder& decoder, ParameterSet& set, const Scored& batch, const Tensor& weights, Tensor& found) {
  set.zero_gradient();
  const Tensor values = decoder.score(set, batch.tree, batch.request).log_prob;
  EXPECT_TRUE(values.is_cpu());
  (values * weights).sum().backward();
  found = values.detach();
  return set.gradient().cpu();
}

TEST_F(Gpu, DecodersScoreAndLearnAlike) {
  for (const auto& [name, config] : small_configs()) {
    SCOPED_TRACE(name);
    Model model(config);
    ParameterSet set = on_gpu(config, model.parameters.flat());
    Scored batch = scored(sample_sequences());
    const Tensor weights = loss_weights(batch.request.row.size(0));
    Tensor wanted, found;
    const Tensor wanted_gradient = decoder_tests::gradient(model, batch, weights, &wanted);
    for (const int64_t max_nodes : {0, 100}) {
      batch.request.max_nodes = max_nodes;
      EXPECT_LE(apart(gradient(model.decoder, set, batch, weights, found), wanted_gradient), 2e-5);
      EXPECT_LE(apart(found, wanted), 1e-5);
    }
    batch.request.entropy = true;
    EXPECT_LE(apart(model.decoder.score(set.flat(), batch.tree, batch.request).entropy,
                    model.decoder.score(model.parameters.flat(), batch.tree, batch.request).entropy),
              1e-5);
    const Tensor rows = at::tensor({3, 1}, at::kLong);
    EXPECT_LE(apart(model.decoder.logits(set.flat(), batch.tree, rows),
                    model.decoder.logits(model.parameters.flat(), batch.tree, rows)),
              1e-5);
    const Decoder rounded(config, Precision::bfloat16);
    gradient(rounded, set, batch, weights, found);
    EXPECT_LE((found - wanted).abs().mean().item<double>(), 0.02);
  }
}

TEST_F(Gpu, PerceptronsAreAlike) {
  MlpPolicy cpu({12, 33, 2, 5, 1, 0}), gpu({12, 33, 2, 5, 1, 0});
  gpu.parameters.place(kGpu);
  cpu.parameters.flat().copy_(at::sin(at::arange(cpu.parameters.size(), at::kFloat)));
  gpu.parameters.flat().copy_(cpu.parameters.flat());
  const Tensor active = at::tensor({0, 5, 11, -1, 3, 3, -1, -1}, at::kInt).view({4, 2});
  cpu.parameters.gradient(), gpu.parameters.gradient();
  const Tensor a = cpu.heads({active}), b = gpu.heads({active}), weights = loss_weights(20).view({4, 5});
  EXPECT_TRUE(b.is_cpu());
  EXPECT_LE(apart(b.detach(), a.detach()), 1e-5);
  (a * weights).sum().backward();
  (b * weights).sum().backward();
  EXPECT_LE(apart(gpu.parameters.gradient(), cpu.parameters.gradient()), 1e-5);
}

TEST_F(Gpu, AdamTakesTheSameSteps) {
  OptimiserDeck deck;
  deck.clip = 1, deck.weight_decay = 0.01, deck.warmup = 3;
  ParameterSet sets[2];
  std::vector<std::unique_ptr<Optimiser>> optimisers;
  for (int which = 0; which < 2; ++which) {
    if (which == 1) sets[1].place(kGpu);
    sets[which].add("weight", "network", {300, 1001});
    sets[which].add("log_z", "log_z", {2});
    sets[which].flat().copy_(at::sin(at::arange(sets[0].size(), at::kFloat)));
    optimisers.push_back(std::make_unique<Optimiser>(deck, sets[which], 20));
  }
  for (int step = 0; step < 20; ++step) {
    for (int which = 0; which < 2; ++which) sets[which].gradient().copy_(at::sin(sets[0].flat() * (step + 1)));
    const double norm = optimisers[0]->norm();
    EXPECT_NEAR(optimisers[1]->norm(), norm, 1e-6 * norm);
    for (auto& optimiser : optimisers) optimiser->step(norm);
  }
  EXPECT_LE(apart(sets[1].flat(), sets[0].flat()), 1e-5);
  // 1 - 0.999 is off by 1.3e-5 of itself where it is taken in float32, as one of the two kernels does.
  EXPECT_LE(apart(optimisers[1]->second_moment(), optimisers[0]->second_moment()), 2e-5);
}

// Every value of version v is v; the weights go on changing behind each copy.
TEST_F(Gpu, CopiesOfWeightsAreOfOneVersion) {
  const Tensor flat = at::zeros({10'000'019}, at::TensorOptions(kGpu).dtype(at::kFloat));
  WeightStaging staging(flat);
  int64_t newest = -1, taken = 0;
  const auto check = [&](const WeightStaging::Copy& copy) {
    EXPECT_GT(copy.version, newest);
    newest = copy.version;
    ++taken;
    const Tensor values =
        at::from_blob(const_cast<float*>(copy.weights.data()), {static_cast<int64_t>(copy.weights.size())}, at::kFloat);
    EXPECT_EQ(values.min().item<float>(), static_cast<float>(copy.version));
    EXPECT_EQ(values.max().item<float>(), static_cast<float>(copy.version));
  };
  for (int64_t version = 0; version < 60; ++version) {
    staging.start(version);
    for (int part = 0; part < 3; ++part) flat.add_(1.0 / 4);
    if (version % 7 != 0)
      if (const auto copy = staging.take(/*wait=*/version % 5 == 0)) check(*copy);
    flat.fill_(static_cast<double>(version + 1));
  }
  check(staging.take(/*wait=*/true).value());
  EXPECT_EQ(newest, 59);
  EXPECT_FALSE(staging.take(true).has_value());
  EXPECT_GT(taken, 10);
}

using GpuSmolLm2 = Gpu;

// A real model.
TEST_F(GpuSmolLm2, IsTheSameModel) {
  const std::string folder = TIGHTROPE_SOURCE "/models/SmolLM2-135M-Instruct";
  ASSERT_TRUE(std::filesystem::exists(folder)) << folder << " is not there: jobs/get-smollm2.sh makes it";
  ModelFolder model(folder);
  const DecoderConfig config = model.config();
  ParameterSet cpu;
  add_decoder_parameters(config, cpu);
  model.load({cpu.flat().mutable_data_ptr<float>(), static_cast<size_t>(cpu.size())});
  ParameterSet gpu = on_gpu(config, cpu.flat());
  std::vector<Sequence> sequences;
  for (uint64_t b = 0; b < 16; ++b)
    sequences.push_back(
        {random_tokens(60, b % 4, config.vocabulary) + random_tokens(12, 100 + b, config.vocabulary), 60});
  const Scored batch = scored(sequences);
  const Decoder decoder(config, Precision::float32);
  Tensor wanted, found;
  const Tensor weights = loss_weights(batch.request.row.size(0));
  const Tensor wanted_gradient = gradient(decoder, cpu, batch, weights, wanted);
  const Tensor found_gradient = gradient(decoder, gpu, batch, weights, found);
  EXPECT_LE(largest(found - wanted), 1e-3);
  for (const Parameter& parameter : cpu.parameters()) {
    const auto part = [&](const Tensor& flat) { return flat.narrow(0, parameter.offset, parameter.value.numel()); };
    const double norm = part(wanted_gradient).norm().item<double>();
    EXPECT_LE(part(found_gradient - wanted_gradient).norm().item<double>(), 1e-3 * norm) << parameter.name;
  }
}

}  // namespace
}  // namespace tightrope::decoder_tests
