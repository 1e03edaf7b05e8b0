#include "decoder_kernels.hpp"

#include <ATen/Parallel.h>

#include <cmath>

#include "decoder_aten.hpp"
#include "row_sums_cpu.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

constexpr int64_t kRows = 32;  // of one piece of work

template <class Body>
void narrow_dispatch(const Tensor& narrow, Body body) {
  if (narrow.scalar_type() == at::kBFloat16) return body(c10::BFloat16{});
  EXPECT(narrow.scalar_type() == at::kFloat);
  body(float{});
}

float inverse_rms(const float* x, int64_t width, double epsilon) {
  const float sum = lane_sum(width, [x](int64_t i) { return x[i] * x[i]; });
  return 1 / std::sqrt(sum / static_cast<float>(width) + static_cast<float>(epsilon));
}

// dx += gradient of one row, dw += its share.  With n = x r: dn = dy w, dx = r (dn - n mean(n dn)), dw = dy n.
template <class T>
void norm_row_backward(const float* __restrict x, const float* __restrict w, const T* __restrict dy, int64_t width,
                       double epsilon, float* __restrict dx, float* __restrict dw) {
  const float r = inverse_rms(x, width, epsilon);
  const float dot = lane_sum(width, [=](int64_t i) { return x[i] * w[i] * static_cast<float>(dy[i]); });
  const float along = r * r * r * dot / static_cast<float>(width);
  for (int64_t i = 0; i < width; ++i) {
    const auto d = static_cast<float>(dy[i]);
    dx[i] += r * d * w[i] - along * x[i];
    dw[i] += d * x[i] * r;
  }
}

float sigmoid(float x) { return 1 / (1 + fast_exp(-x)); }

template <class T>
void swiglu_row(const T* __restrict gate, const T* __restrict up, int64_t width, T* __restrict y) {
  for (int64_t i = 0; i < width; ++i) {
    const auto g = static_cast<float>(gate[i]);
    y[i] = static_cast<T>(g * sigmoid(g) * static_cast<float>(up[i]));
  }
}

template <class T>
void swiglu_row_backward(const T* __restrict gate, const T* __restrict up, const T* __restrict dy, int64_t width,
                         T* __restrict d_gate, T* __restrict d_up) {
  for (int64_t i = 0; i < width; ++i) {
    const auto g = static_cast<float>(gate[i]), u = static_cast<float>(up[i]), d = static_cast<float>(dy[i]);
    const float s = sigmoid(g);
    d_gate[i] = static_cast<T>(d * u * s * (1 + g * (1 - s)));
    d_up[i] = static_cast<T>(d * g * s);
  }
}

}  // namespace

void rms_norm(const Tensor& x, const Tensor& w, double epsilon, const Tensor& y) {
  if (!x.is_cpu()) return aten::rms_norm(x, w, epsilon, y);
  const int64_t width = x.size(1);
  const auto* const weight = w.const_data_ptr<float>();
  const auto* const in = x.const_data_ptr<float>();
  narrow_dispatch(y, [&]<class T>(T) {
    T* const out = y.mutable_data_ptr<T>();
    at::parallel_for(0, x.size(0), kRows, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin * width; row < end * width; row += width) {
        const float r = inverse_rms(in + row, width, epsilon);
        for (int64_t i = 0; i < width; ++i) out[row + i] = static_cast<T>(in[row + i] * r * weight[i]);
      }
    });
  });
}

// dw is summed block by block and then over the blocks, so that it does not depend on the threads.
void rms_norm_backward(const Tensor& x, const Tensor& w, double epsilon, const Tensor& dy, const Tensor& dx,
                       const Tensor& dw) {
  if (!x.is_cpu()) return aten::rms_norm_backward(x, w, epsilon, dy, dx, dw);
  const int64_t rows = x.size(0), width = x.size(1), blocks = (rows + kRows - 1) / kRows;
  const Tensor partial = at::zeros({blocks, width}, at::kFloat);
  auto* const sums = partial.mutable_data_ptr<float>();
  auto* const out = dx.mutable_data_ptr<float>();
  const auto* const weight = w.const_data_ptr<float>();
  const auto* const in = x.const_data_ptr<float>();
  narrow_dispatch(dy, [&]<class T>(T) {
    const T* const gradient = dy.const_data_ptr<T>();
    at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block)
        for (int64_t i = block * kRows; i < std::min(rows, (block + 1) * kRows); ++i)
          norm_row_backward(in + i * width, weight, gradient + i * width, width, epsilon, out + i * width,
                            sums + block * width);
    });
  });
  dw.add_(partial.sum(0));
}

void swiglu(const Tensor& gate_up, const Tensor& y) {
  if (!gate_up.is_cpu()) return aten::swiglu(gate_up, y);
  const int64_t width = y.size(1);
  narrow_dispatch(y, [&]<class T>(T) {
    const T* const in = gate_up.const_data_ptr<T>();
    T* const out = y.mutable_data_ptr<T>();
    at::parallel_for(0, y.size(0), kRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        swiglu_row(in + 2 * i * width, in + (2 * i + 1) * width, width, out + i * width);
    });
  });
}

void swiglu_backward(const Tensor& gate_up, const Tensor& dy, const Tensor& d_gate_up) {
  if (!gate_up.is_cpu()) return aten::swiglu_backward(gate_up, dy, d_gate_up);
  const int64_t width = dy.size(1);
  narrow_dispatch(dy, [&]<class T>(T) {
    const T *const in = gate_up.const_data_ptr<T>(), *const gradient = dy.const_data_ptr<T>();
    T* const out = d_gate_up.mutable_data_ptr<T>();
    at::parallel_for(0, dy.size(0), kRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        swiglu_row_backward(in + 2 * i * width, in + (2 * i + 1) * width, gradient + i * width, width,
                            out + 2 * i * width, out + (2 * i + 1) * width);
    });
  });
}

}  // namespace tightrope
