// Parameters on one flat buffer, Adam over it, and the network that lives in it.
#include "tightrope/core/policy.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tightrope/core/rng.hpp"
#include "tightrope/learn/optimiser.hpp"
#include "tightrope/policies/mlp.hpp"

namespace tightrope {
namespace {

std::vector<float> floats(const Tensor& tensor) {
  const Tensor flat = tensor.detach().contiguous().view({-1});
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

// Two tensors of the network and a log Z.
ParameterSet ten() {
  ParameterSet set;
  set.add("weight", "network", {2, 3});
  set.add("bias", "network", {2});
  set.add("log_z", "log_z", {2});
  return set;
}

TEST(ParameterSet, LeavesAreViewsOfOneBuffer) {
  const ParameterSet set = ten();
  ASSERT_EQ(set.size(), 10);
  ASSERT_EQ(set.groups().size(), 2U);
  EXPECT_EQ(set.groups()[1].offset, 8);
  EXPECT_EQ(set.groups()[1].size, 2);
  set.flat().copy_(at::arange(10));
  EXPECT_EQ(floats(set.at("weight")), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(floats(set.at("log_z")), (std::vector<float>{8, 9}));
  for (const Parameter& parameter : set.parameters()) {
    EXPECT_TRUE(parameter.value.is_leaf() && parameter.value.requires_grad());
    EXPECT_EQ(parameter.value.data_ptr(), set.flat().mutable_data_ptr<float>() + parameter.offset);
  }
  EXPECT_THROW(set.at("none"), std::out_of_range);
}

TEST(ParameterSet, GradientsAddUpInOneBuffer) {
  ParameterSet set = ten();
  for (int pass = 0; pass < 2; ++pass) (3 * set.at("weight").sum() + (5 * set.at("log_z")).sum()).backward();
  EXPECT_EQ(floats(set.gradient()), (std::vector<float>{6, 6, 6, 6, 6, 6, 0, 0, 10, 10}));
  for (const Parameter& parameter : set.parameters())
    EXPECT_EQ(parameter.value.grad().data_ptr(), set.gradient().mutable_data_ptr<float>() + parameter.offset);
  set.zero_gradient();
  set.at("bias").sum().backward();
  EXPECT_EQ(floats(set.gradient()), (std::vector<float>{0, 0, 0, 0, 0, 0, 1, 1, 0, 0}));
}

// Kingma and Ba 2015, algorithm 1, in double, one value.
struct TextbookAdam {
  double rate, decay, x, m = 0, v = 0;
  void step(double g, int t, const OptimiserDeck& deck) {
    x -= rate * decay * x;
    m = deck.beta1 * m + (1 - deck.beta1) * g;
    v = deck.beta2 * v + (1 - deck.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(deck.beta1, t)), v_hat = v / (1 - std::pow(deck.beta2, t));
    x -= rate * m_hat / (std::sqrt(v_hat) + deck.epsilon);
  }
};

double start(int i) { return 0.9 * (2 * uniform(1, Stream::data, 0, static_cast<uint32_t>(i)) - 1); }
double slope(int i, double x) { return (i + 1) * (x - 0.3 * i + 1); }

// The same problem with and without a clip, a schedule and a decay of the weights.
void compare_with_textbook(OptimiserDeck deck) {
  ParameterSet set = ten();
  Optimiser optimiser(deck, set, 20);
  std::vector<TextbookAdam> reference;
  for (int i = 0; i < 10; ++i) {
    const bool log_z = i >= 8;
    reference.push_back(
        {log_z ? deck.log_z_learning_rate : deck.learning_rate, log_z ? 0 : deck.weight_decay, start(i)});
    set.flat()[i] = start(i);
  }
  for (int t = 1; t <= 20; ++t) {
    double squares = 0;
    std::vector<double> gradient;
    for (int i = 0; i < 10; ++i) {
      gradient.push_back(slope(i, reference[static_cast<size_t>(i)].x));
      squares += gradient.back() * gradient.back();
      set.gradient()[i] = slope(i, set.flat()[i].item<double>());
    }
    const double norm = std::sqrt(squares);
    const double shrink = deck.clip > 0 && norm > deck.clip ? deck.clip / norm : 1;
    const double factor = optimiser.rate_factor();
    EXPECT_NEAR(optimiser.norm(), norm, 1e-5 * norm);
    optimiser.step(optimiser.norm());
    for (size_t i = 0; i < 10; ++i) {
      TextbookAdam scaled = reference[i];
      scaled.rate *= factor;
      scaled.step(shrink * gradient[i], t, deck);
      scaled.rate = reference[i].rate;
      reference[i] = scaled;
    }
  }
  EXPECT_EQ(optimiser.steps_done(), 20);
  for (int i = 0; i < 10; ++i)
    EXPECT_NEAR(set.flat()[i].item<double>(), reference[static_cast<size_t>(i)].x, 1e-6) << "parameter " << i;
}

TEST(Optimiser, IsTextbookAdamWithARatePerGroup) {
  OptimiserDeck deck;
  deck.learning_rate = 0.01;
  compare_with_textbook(deck);
}

TEST(Optimiser, ClipsDecaysAndSchedules) {
  OptimiserDeck deck;
  deck.learning_rate = 0.02;
  deck.log_z_learning_rate = 0.05;
  deck.weight_decay = 0.1;
  deck.clip = 3;
  deck.final_fraction = 0.1;
  deck.decay_start = 0.5;
  compare_with_textbook(deck);
}

TEST(Optimiser, ScheduleFallsAlongACosine) {
  OptimiserDeck deck;
  deck.final_fraction = 0.2;
  deck.decay_start = 0.5;
  ParameterSet set = ten();
  Optimiser optimiser(deck, set, 8);
  std::vector<double> factors;
  for (int t = 0; t <= 9; ++t, optimiser.step(0)) factors.push_back(optimiser.rate_factor());
  for (size_t t = 0; t <= 4; ++t) EXPECT_EQ(factors[t], 1) << t;
  EXPECT_NEAR(factors[6], 0.6, 1e-12);
  EXPECT_GT(factors[5], factors[6]);
  EXPECT_NEAR(factors[8], 0.2, 1e-12);
  EXPECT_NEAR(factors[9], 0.2, 1e-12);
}

TEST(Optimiser, GoesOnFromWhatWasRestored) {
  OptimiserDeck deck;
  deck.final_fraction = 0.1;
  ParameterSet set = ten(), copy = ten();
  Optimiser first(deck, set, 10);
  const auto step = [](Optimiser& optimiser, ParameterSet& parameters, int t) {
    parameters.gradient().copy_(at::arange(10).sub(t).sin());
    optimiser.step(optimiser.norm());
  };
  for (int t = 0; t < 4; ++t) step(first, set, t);
  Optimiser second(deck, copy, 10);
  copy.flat().copy_(set.flat());
  second.restore(first.steps_done(), first.first_moment(), first.second_moment());
  for (int t = 4; t < 8; ++t) {
    step(first, set, t);
    step(second, copy, t);
  }
  EXPECT_TRUE(at::equal(set.flat(), copy.flat()));
  EXPECT_EQ(first.rate_factor(), second.rate_factor());
}

// Rows of features, some slots empty; a feature may be there twice.
const std::vector<int> kActive = {0, 3, -1, 4, 4, 1, -1, -1, -1, 2, 0, 4};

Tensor active_rows() { return at::tensor(kActive, at::kInt).view({4, 3}); }

// The same rows as counts of each of five features.
Tensor dense() {
  Tensor counts = at::zeros({4, 5});
  for (size_t i = 0; i < kActive.size(); ++i)
    if (kActive[i] >= 0) counts[static_cast<int64_t>(i / 3)][kActive[i]] += 1;
  return counts;
}

TEST(MlpPolicy, IsTheDenseNetwork) {
  for (const int64_t layers : {1, 3}) {
    MlpPolicy policy(MlpShape{.features = 5, .width = 16, .layers = layers, .outputs = 4});
    policy.parameters.flat().copy_(at::arange(policy.parameters.size()).to(at::kFloat).sin().mul(0.4));
    const auto network = [&] {
      Tensor x = dense();
      for (int64_t layer = 0; layer <= layers; ++layer) {
        const std::string name = "layer" + std::to_string(layer);
        if (layer > 0) x = x.relu();
        x = at::matmul(x, policy.parameters.at(name + ".weight")) + policy.parameters.at(name + ".bias");
      }
      return x;
    };
    std::vector<Tensor> values, gradients;
    for (const bool dense_network : {false, true}) {
      policy.parameters.zero_gradient();
      const Tensor out = dense_network ? network() : policy.heads({active_rows()});
      out.square().sum().backward();
      values.push_back(out.detach());
      gradients.push_back(policy.parameters.gradient().clone());
    }
    EXPECT_LT((values[0] - values[1]).abs().max().item<double>(), 1e-5);
    EXPECT_LT((gradients[0] - gradients[1]).abs().max().item<double>(), 1e-5 * gradients[1].abs().max().item<double>());
  }
}

TEST(MlpPolicy, StartsWithZeroHeadsAndASeededBody) {
  const MlpShape shape{.features = 5, .width = 16, .layers = 2, .outputs = 4, .log_z = 2, .log_z_start = 3};
  MlpPolicy first(shape), again(shape), other(shape);
  first.initialise(1);
  again.initialise(1);
  other.initialise(2);
  EXPECT_TRUE(at::equal(first.parameters.flat(), again.parameters.flat()));
  EXPECT_FALSE(at::equal(first.parameters.flat(), other.parameters.flat()));
  EXPECT_EQ(floats(first.heads({active_rows()})), std::vector<float>(16, 0));
  EXPECT_EQ(floats(first.parameters.at("log_z")), (std::vector<float>{3, 3}));
  EXPECT_EQ(first.parameters.groups().back().name, "log_z");
}

}  // namespace
}  // namespace tightrope
