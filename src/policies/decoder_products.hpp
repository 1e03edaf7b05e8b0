#pragma once
// The matrix products of a linear layer, y = x w^T, and of its gradient, by a library.
// x (N,in), w (out,in), y (N,out), all row-major and contiguous; x and w of one type, float32 or bfloat16.  On a CPU
// products of bfloat16 are rounded to it, whatever type they are then stored in or added to.
#include <ATen/core/Tensor.h>

namespace tightrope {

using at::Tensor;

void product(const Tensor& x, const Tensor& w, const Tensor& y);                // y = x w^T; y of any of the two types
void add_product(const Tensor& x, const Tensor& w, const Tensor& y);            // y += x w^T; y float32
void input_gradient(const Tensor& dy, const Tensor& w, const Tensor& dx);       // dx = dy w; dx of any of the two types
void add_input_gradient(const Tensor& dy, const Tensor& w, const Tensor& dx);   // dx += dy w; dx float32; on a CPU
void add_weight_gradient(const Tensor& dy, const Tensor& x, const Tensor& dw);  // dw += dy^T x; dw float32

// The same on blocks of row-major float32 matrices on a CPU: c (m,n) = beta c + op(a) op(b), summed over k.
struct Block {
  float* data;
  int64_t stride;  // from row to row
};
void multiply(Block a, Block b, Block c, int64_t m, int64_t n, int64_t k, float beta);             // a b
void multiply_transposed(Block a, Block b, Block c, int64_t m, int64_t n, int64_t k, float beta);  // a b^T
void transposed_multiply(Block a, Block b, Block c, int64_t m, int64_t n, int64_t k, float beta);  // a^T b

}  // namespace tightrope
