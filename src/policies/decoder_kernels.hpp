#pragma once
// The parts of a decoder layer that work on one row at a time.  On a CPU each reads its input once and keeps nothing;
// elsewhere LibTorch's operations do (decoder_aten.hpp).
// Tensors are contiguous; "narrow" ones float32 or bfloat16, all others float32.  Arithmetic is float32.
#include <ATen/core/Tensor.h>

namespace tightrope {

using at::Tensor;

// Root mean square normalisation (Zhang and Sennrich 2019): y = w x / sqrt(mean(x^2) + epsilon).
// x (N,H), w (H), y (N,H) narrow.
void rms_norm(const Tensor& x, const Tensor& w, double epsilon, const Tensor& y);
// Adds to dx (N,H) and dw (H); dy (N,H) narrow.
void rms_norm_backward(const Tensor& x, const Tensor& w, double epsilon, const Tensor& dy, const Tensor& dx,
                       const Tensor& dw);

// SwiGLU (Shazeer 2020): y = g sigmoid(g) u, where gate_up (N,2F) narrow is [g u] and y (N,F) narrow.
void swiglu(const Tensor& gate_up, const Tensor& y);
void swiglu_backward(const Tensor& gate_up, const Tensor& dy, const Tensor& d_gate_up);

}  // namespace tightrope
