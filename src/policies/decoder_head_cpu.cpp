#include "decoder_head.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "decoder_aten.hpp"
#include "decoder_products.hpp"
#include "row_sums_cpu.hpp"

namespace tightrope {
namespace {

constexpr int64_t kRows = 1024, kTokens = 2048;  // of a block of logits: 8 MB, and 5 MB of w where H = 576

// Of one row, over the tokens so far: largest z, and sums of exp(z - largest) and of exp(z - largest) z.
struct Running {
  float largest = -std::numeric_limits<float>::infinity(), sum = 0, weighted = 0;
};

void add_tokens(Running& state, const float* z, int64_t count, bool entropy) {
  const float largest = std::max(state.largest, lane_max(z, count));
  const float fade = state.sum == 0 ? 0 : fast_exp(state.largest - largest);
  state.sum = state.sum * fade + lane_sum(count, [=](int64_t i) { return fast_exp(z[i] - largest); });
  if (entropy)
    state.weighted =
        state.weighted * fade + lane_sum(count, [=](int64_t i) { return fast_exp(z[i] - largest) * z[i]; });
  state.largest = largest;
}

std::span<const int64_t> values(const Tensor& tensor) {
  return {tensor.const_data_ptr<int64_t>(), static_cast<size_t>(tensor.numel())};
}

// (U,1) bfloat16: the logit of one target of each row.  A product of bfloat16 is rounded to 8 bits, which of a logit of
// 20 is a tenth; less this number, what is rounded is the distance from a token of the sample, and likely ones are
// near.
Tensor row_shift(const Tensor& h, const Tensor& w, const HeadEntries& entries) {
  if (h.scalar_type() != at::kBFloat16) return {};
  const Tensor target = at::zeros({h.size(0)}, at::kLong);
  const auto entry_row = values(entries.row), token = values(entries.target);
  for (size_t r = 0; r < token.size(); ++r) target.mutable_data_ptr<int64_t>()[entry_row[r]] = token[r];
  const Tensor logit = (h.to(at::kFloat) * w.index_select(0, target).to(at::kFloat)).sum(1, /*keepdim=*/true);
  return logit.to(at::kBFloat16);
}

// Calls body(first row, rows, first token, logits (rows, tokens)) for every block; the logits are divided by the
// temperature and may be overwritten.
template <class Body>
void for_blocks(const Tensor& h, const Tensor& w, const HeadEntries& entries, double temperature, Body body) {
  const int64_t all_rows = h.size(0), vocabulary = w.size(0);
  const Tensor shift = row_shift(h, w, entries);
  const Tensor room = at::empty({std::min(kRows, all_rows) * std::min(kTokens, vocabulary)}, at::kFloat);
  for (int64_t row = 0; row < all_rows; row += kRows) {
    const int64_t rows = std::min(kRows, all_rows - row);
    for (int64_t token = 0; token < vocabulary; token += kTokens) {
      const int64_t tokens = std::min(kTokens, vocabulary - token);
      const Tensor logits = room.narrow(0, 0, rows * tokens).view({rows, tokens});
      if (shift.defined()) {
        const Tensor c = shift.narrow(0, row, rows);
        logits.copy_(at::addmm(-c, h.narrow(0, row, rows), w.narrow(0, token, tokens).t())).add_(c);
      } else {
        product(h.narrow(0, row, rows), w.narrow(0, token, tokens), logits);
      }
      if (temperature != 1) logits.mul_(1 / temperature);
      body(row, token, logits);
    }
  }
}

}  // namespace

HeadResult head_log_probs(const Tensor& h, const Tensor& w, const HeadEntries& entries, double temperature,
                          bool entropy) {
  if (!h.is_cpu()) return aten::head_log_probs(h, w, entries, temperature, entropy);
  const auto entry_row = values(entries.row), target = values(entries.target);
  HeadResult result{at::empty({entries.row.size(0)}, at::kFloat), at::empty({h.size(0)}, at::kFloat),
                    entropy ? at::empty({h.size(0)}, at::kFloat) : Tensor()};
  auto* const log_prob = result.log_prob.mutable_data_ptr<float>();
  std::vector<Running> state(static_cast<size_t>(h.size(0)));
  for_blocks(h, w, entries, temperature, [&](int64_t row, int64_t token, const Tensor& logits) {
    const auto* const z = logits.const_data_ptr<float>();
    const int64_t rows = logits.size(0), tokens = logits.size(1);
    at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) add_tokens(state[row + i], z + i * tokens, tokens, entropy);
    });
    for (size_t r = 0; r < target.size(); ++r) {
      const int64_t i = entry_row[r] - row, j = target[r] - token;
      if (i >= 0 && i < rows && j >= 0 && j < tokens) log_prob[r] = z[i * tokens + j];
    }
  });
  auto* const log_normaliser = result.log_normaliser.mutable_data_ptr<float>();
  for (size_t i = 0; i < state.size(); ++i) {
    log_normaliser[i] = state[i].largest + std::log(state[i].sum);
    if (entropy) result.entropy.mutable_data_ptr<float>()[i] = log_normaliser[i] - state[i].weighted / state[i].sum;
  }
  for (size_t r = 0; r < target.size(); ++r) log_prob[r] -= log_normaliser[entry_row[r]];
  return result;
}

// d log_prob[r] / dz[row[r], v] = [v = target[r]] - p[row[r], v]
Tensor head_backward(const Tensor& h, const Tensor& w, const HeadEntries& entries, double temperature,
                     const Tensor& log_normaliser, const Tensor& gradient, const Tensor& dw) {
  if (!h.is_cpu()) return aten::head_backward(h, w, entries, temperature, log_normaliser, gradient, dw);
  const auto entry_row = values(entries.row), target = values(entries.target);
  const auto* const g = gradient.const_data_ptr<float>();
  const auto* const normaliser = log_normaliser.const_data_ptr<float>();
  const auto scale = static_cast<float>(1 / temperature);
  std::vector<float> total(static_cast<size_t>(h.size(0)));  // gradient over the entries of a row, per unit of h w^T
  for (size_t r = 0; r < target.size(); ++r) total[entry_row[r]] += g[r] * scale;
  Tensor dh = at::zeros({h.size(0), h.size(1)}, at::kFloat);
  for_blocks(h, w, entries, temperature, [&](int64_t row, int64_t token, const Tensor& logits) {
    auto* const z = logits.mutable_data_ptr<float>();
    const int64_t rows = logits.size(0), tokens = logits.size(1);
    at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float all = total[row + i], shift = normaliser[row + i];
        for (int64_t j = i * tokens; j < (i + 1) * tokens; ++j) z[j] = -all * fast_exp(z[j] - shift);
      }
    });
    for (size_t r = 0; r < target.size(); ++r) {
      const int64_t i = entry_row[r] - row, j = target[r] - token;
      if (i >= 0 && i < rows && j >= 0 && j < tokens) z[i * tokens + j] += g[r] * scale;
    }
    const Tensor dz = logits.to(h.scalar_type());
    add_weight_gradient(dz, h.narrow(0, row, rows), dw.narrow(0, token, tokens));
    add_input_gradient(dz, w.narrow(0, token, tokens), dh.narrow(0, row, rows));
  });
  return dh;
}

}  // namespace tightrope
