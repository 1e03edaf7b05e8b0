#pragma once
// What decoder_kernels.hpp, decoder_products.hpp and decoder_head.hpp declare, by LibTorch's own operations: for
// tensors that are not on the CPU.  The functions there lead here by themselves; tests call these on the CPU, too.
#include "decoder_head.hpp"

namespace tightrope::aten {

void rms_norm(const Tensor& x, const Tensor& w, double epsilon, const Tensor& y);
void rms_norm_backward(const Tensor& x, const Tensor& w, double epsilon, const Tensor& dy, const Tensor& dx,
                       const Tensor& dw);
void swiglu(const Tensor& gate_up, const Tensor& y);
void swiglu_backward(const Tensor& gate_up, const Tensor& dy, const Tensor& d_gate_up);

// y = a b, or y += a b; y of any of the two types.  On a GPU products of bfloat16 are summed and kept in float32.
void multiply(const Tensor& a, const Tensor& b, const Tensor& y, bool add);

// At most 2^27 logits exist at once.
HeadResult head_log_probs(const Tensor& h, const Tensor& w, const HeadEntries& entries, double temperature,
                          bool entropy);
Tensor head_backward(const Tensor& h, const Tensor& w, const HeadEntries& entries, double temperature,
                     const Tensor& log_normaliser, const Tensor& gradient, const Tensor& dw);

}  // namespace tightrope::aten
