// What must not change the scores and their gradient, and what they must be by definition.
#include <gtest/gtest.h>

#include <algorithm>

#include "decoder_fixture.hpp"

namespace tightrope::decoder_tests {
namespace {

class Decoders : public testing::TestWithParam<std::pair<std::string, DecoderConfig>> {
 protected:
  Model model{GetParam().second};
};

INSTANTIATE_TEST_SUITE_P(Small, Decoders, testing::ValuesIn(small_configs()),
                         [](const auto& which) { return which.param.first; });

// Scores of each sequence on its own, and the sum of their gradients.
void score_apart(Model& model, const std::vector<Sequence>& sequences, const Scored& whole, const Tensor& weights,
                 Tensor& log_prob, Tensor& sum) {
  std::vector<Tensor> parts;
  sum = at::zeros_like(model.parameters.flat());
  for (size_t b = 0; b < sequences.size(); ++b) {
    const auto& first = whole.predictions.first;
    sum += gradient(model, scored({sequences[b]}), weights.slice(0, first[b], first[b + 1]), &parts.emplace_back());
  }
  log_prob = at::cat(parts);
}

TEST_P(Decoders, TreeEqualsSequencesApart) {
  const std::vector<Sequence> sequences = sample_sequences();
  const Scored whole = scored(sequences);
  const Tensor weights = loss_weights(whole.request.row.size(0));
  Tensor together, apart, sum;
  const Tensor found = gradient(model, whole, weights, &together);
  score_apart(model, sequences, whole, weights, apart, sum);
  EXPECT_LE(largest(together - apart), 1e-5 * largest(apart));
  EXPECT_LE(largest(found - sum), 1e-5 * largest(sum));
}

TEST_P(Decoders, DuplicatesAreComputedOnceAndCountTwice) {
  const std::vector<Sequence> once = {sample_sequences()[1]}, twice = {once[0], once[0]};
  EXPECT_EQ(scored(once).tree.nodes(), scored(twice).tree.nodes());
  const Tensor weights = loss_weights(scored(once).request.row.size(0));
  const Tensor single = gradient(model, scored(once), weights);
  EXPECT_LE(largest(gradient(model, scored(twice), at::cat({weights, weights})) - 2 * single), 1e-5 * largest(single));
}

TEST_P(Decoders, OrderOfTheBatchDoesNotMatter) {
  std::vector<Sequence> sequences = sample_sequences();
  const Scored straight = scored(sequences);
  std::ranges::reverse(sequences);
  const Scored reversed = scored(sequences);
  const Tensor a = model.decoder.score(model.parameters.flat(), straight.tree, straight.request).log_prob;
  const Tensor b = model.decoder.score(model.parameters.flat(), reversed.tree, reversed.request).log_prob;
  const size_t last = sequences.size() - 1;
  for (size_t i = 0; i <= last; ++i) {
    const auto part = [](const Scored& batch, const Tensor& values, size_t of) {
      return values.slice(0, batch.predictions.first[of], batch.predictions.first[of + 1]);
    };
    EXPECT_TRUE(at::equal(part(straight, a, i), part(reversed, b, last - i)));
  }
}

TEST_P(Decoders, PartsEqualTheWhole) {
  Scored batch = scored(sample_sequences());
  const Tensor weights = loss_weights(batch.request.row.size(0));
  Tensor whole, parts;
  const Tensor wanted = gradient(model, batch, weights, &whole);
  batch.request.max_nodes = 1;  // counts as twice the depth
  batch.request.entropy = true;
  ASSERT_GT(cut_tree(batch.tree, 1).size(), 2U);
  const Tensor found = gradient(model, batch, weights, &parts);
  EXPECT_LE(largest(parts - whole), 1e-5 * largest(whole));
  EXPECT_LE(largest(found - wanted), 1e-5 * largest(wanted));
}

TEST_P(Decoders, IsTheSameAgainAndWithoutGradients) {
  for (const int64_t max_nodes : {0, 1}) {
    Scored batch = scored(sample_sequences());
    batch.request.max_nodes = max_nodes;
    const Tensor weights = loss_weights(batch.request.row.size(0));
    Tensor first, second;
    const Tensor a = gradient(model, batch, weights, &first), b = gradient(model, batch, weights, &second);
    EXPECT_TRUE(at::equal(first, second));
    EXPECT_TRUE(at::equal(a, b));
    EXPECT_TRUE(at::equal(first, model.decoder.score(model.parameters.flat(), batch.tree, batch.request).log_prob));
    const at::NoGradGuard no_grad;
    const Tensor plain = model.decoder.score(model.parameters, batch.tree, batch.request).log_prob;
    EXPECT_FALSE(plain.requires_grad());
    EXPECT_TRUE(at::equal(first, plain));
  }
}

// By definition, from the logits: log-probs at another temperature, entropies, and that gradients add up.
TEST_P(Decoders, TemperatureAndEntropy) {
  Scored batch = scored(sample_sequences());
  batch.request.temperature = 0.7;
  batch.request.entropy = true;
  const Tensor z = model.decoder.logits(model.parameters.flat(), batch.tree, batch.request.row).to(at::kDouble) / 0.7;
  const Tensor log_p = z.log_softmax(1);
  const TokenScores found = model.decoder.score(model.parameters, batch.tree, batch.request);
  EXPECT_LE(largest(found.log_prob.detach() - log_p.gather(1, batch.request.target.unsqueeze(1)).squeeze(1)), 1e-5);
  EXPECT_LE(largest(found.entropy + (log_p.exp() * log_p).sum(1)), 1e-5);
  EXPECT_TRUE(found.log_prob.requires_grad());
  EXPECT_FALSE(found.entropy.requires_grad());
}

TEST_P(Decoders, GradientsAddToWhatIsThere) {
  const Scored batch = scored(sample_sequences());
  const Tensor weights = loss_weights(batch.request.row.size(0));
  const Tensor once = gradient(model, batch, weights);
  (model.decoder.score(model.parameters, batch.tree, batch.request).log_prob * weights).sum().backward();
  EXPECT_LE(largest(model.parameters.gradient() - 2 * once), 1e-5 * largest(once));
}

// Central differences along a random direction of each parameter, and along the largest entry of its gradient.
TEST_P(Decoders, FiniteDifferences) {
  Scored batch = scored(sample_sequences());
  batch.request.temperature = 1.3;
  const Tensor weights = loss_weights(batch.request.row.size(0));
  const Tensor found = gradient(model, batch, weights);
  const auto loss = [&] {
    const Tensor values = model.decoder.score(model.parameters.flat(), batch.tree, batch.request).log_prob;
    return (values.to(at::kDouble) * weights).sum().item<double>();
  };
  at::manual_seed(3);
  for (const Parameter& parameter : model.parameters.parameters()) {
    const int64_t size = parameter.value.numel();
    const Tensor slope = found.narrow(0, parameter.offset, size);
    Tensor value = model.parameters.flat().narrow(0, parameter.offset, size);
    const Tensor start = value.clone();
    Tensor one = at::zeros_like(slope);
    one[slope.abs().argmax()] = 1;
    for (const Tensor& direction : {at::sign(slope) + at::randn({size}), one}) {
      const double step = 1e-2 / direction.norm().item<double>();
      value.copy_(start + step * direction);
      const double above = loss();
      value.copy_(start - step * direction);
      const double difference = (above - loss()) / (2 * step), wanted = slope.dot(direction).item<double>();
      value.copy_(start);
      EXPECT_NEAR(difference, wanted, 0.01 * std::abs(wanted) + 2e-5 / step) << parameter.name;
    }
  }
}

TEST_P(Decoders, Bfloat16IsCloseToFloat32) {
  Model rounded(GetParam().second, Precision::bfloat16);
  const Scored batch = scored(sample_sequences());
  const Tensor weights = loss_weights(batch.request.row.size(0));
  Tensor wanted, found, frozen;
  const Tensor exact = gradient(model, batch, weights, &wanted), close = gradient(rounded, batch, weights, &found);
  EXPECT_LE((found - wanted).abs().mean().item<double>(), 0.02);
  EXPECT_GT(largest(found - wanted), 1e-5);  // it does round
  EXPECT_LE((close - exact).norm().item<double>(), 0.05 * exact.norm().item<double>());
  const Tensor narrow = rounded.parameters.flat().to(at::kBFloat16);
  frozen = rounded.decoder.score(narrow, batch.tree, batch.request).log_prob;
  EXPECT_LE((frozen - wanted).abs().mean().item<double>(), 0.02);
}

// More rows and tokens than one block of the head holds.
TEST(DecoderHead, BlocksEqualTheWhole) {
  DecoderConfig config = small_config();
  config.vocabulary = 4500, config.hidden = 8, config.layers = 1, config.ffn = 8;
  config.heads = 1, config.kv_heads = 1, config.head_size = 4;
  Model model(config);
  std::vector<Sequence> sequences;
  for (uint64_t i = 0; i < 40; ++i) sequences.push_back({random_tokens(32, i, config.vocabulary), 1});
  const Scored batch = scored(sequences);
  ASSERT_GT(batch.tree.nodes(), 1024);
  const Tensor weights = loss_weights(batch.request.row.size(0));
  Tensor log_prob;
  gradient(model, batch, weights, &log_prob);
  const Tensor z = model.decoder.logits(model.parameters.flat(), batch.tree, batch.request.row).to(at::kDouble);
  const Tensor wanted = z.log_softmax(1).gather(1, batch.request.target.unsqueeze(1)).squeeze(1);
  EXPECT_LE(largest(log_prob - wanted), 1e-5 * largest(wanted));
  // d log p[target] / dz = one-hot - p, and a head's gradient sums to zero over the vocabulary.
  const Tensor dw = model.parameters.at("lm_head.weight").grad();
  EXPECT_LE(largest(dw.sum(0, false, at::kDouble)), 1e-4 * dw.abs().sum(0).max().item<double>());
  EXPECT_GT(largest(dw.narrow(0, 4096, 404)), 0);
}

}  // namespace
}  // namespace tightrope::decoder_tests
