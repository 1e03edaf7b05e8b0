#pragma once
// The head of a decoder: log-softmax over the vocabulary of z = h w^T / temperature, at given entries.
// On a CPU a block of the vocabulary at a time, with running sums, so that no more than (1024, 2048) logits exist at
// once; elsewhere blocks of rows (decoder_aten.hpp).  All tensors are on one device.
#include <ATen/core/Tensor.h>

namespace tightrope {

using at::Tensor;

// Entry r asks for the log-prob of token target[r] at row row[r] of h; several may ask the same row.
struct HeadEntries {
  Tensor row, target;  // (R) int64
};

struct HeadResult {
  Tensor log_prob;        // (R) float32, nats
  Tensor log_normaliser;  // (U) float32: log sum exp z of each row
  Tensor entropy;         // (U) float32 nats of each row's distribution; undefined unless asked for
};

// h (U,H) and w (V,H), both float32 or both bfloat16.
HeadResult head_log_probs(const Tensor& h, const Tensor& w, const HeadEntries& entries, double temperature,
                          bool entropy);

// gradient (R) float32 of the log-probs; adds to dw (V,H) float32 and returns dh (U,H) float32.
Tensor head_backward(const Tensor& h, const Tensor& w, const HeadEntries& entries, double temperature,
                     const Tensor& log_normaliser, const Tensor& gradient, const Tensor& dw);

}  // namespace tightrope
