#include "decoder_products.hpp"

#include "decoder_aten.hpp"
#include "tightrope/base/check.hpp"

extern "C" void sgemm_(const char* transpose_a, const char* transpose_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                       const float* beta, float* c, const int* ldc);

namespace tightrope {
namespace {

// BLAS is column-major and sees every row-major matrix transposed: c^T = b^T a^T.
void call(const char* a_as, const char* b_as, Block a, Block b, Block c, int64_t m, int64_t n, int64_t k, float beta) {
  const int rows = static_cast<int>(m), columns = static_cast<int>(n), inner = static_cast<int>(k);
  const int lda = static_cast<int>(a.stride), ldb = static_cast<int>(b.stride), ldc = static_cast<int>(c.stride);
  const float one = 1;
  sgemm_(b_as, a_as, &columns, &rows, &inner, &one, b.data, &ldb, a.data, &lda, &beta, c.data, &ldc);
}

// A contiguous float32 matrix, read only where it is an operand.
Block block(const Tensor& matrix) {
  EXPECT(matrix.is_contiguous() && matrix.scalar_type() == at::kFloat);
  return {const_cast<float*>(matrix.const_data_ptr<float>()), matrix.size(1)};
}

bool narrow(const Tensor& operand) { return operand.scalar_type() == at::kBFloat16; }

void store(const Tensor& a, const Tensor& b, const Tensor& c) {
  if (narrow(c)) {
    Tensor out = c;
    at::mm_out(out, a, b);
  } else {
    c.copy_(at::mm(a, b));
  }
}

}  // namespace

void multiply(Block a, Block b, Block c, int64_t m, int64_t n, int64_t k, float beta) {
  call("N", "N", a, b, c, m, n, k, beta);
}
void multiply_transposed(Block a, Block b, Block c, int64_t m, int64_t n, int64_t k, float beta) {
  call("N", "T", a, b, c, m, n, k, beta);
}
void transposed_multiply(Block a, Block b, Block c, int64_t m, int64_t n, int64_t k, float beta) {
  call("T", "N", a, b, c, m, n, k, beta);
}

void product(const Tensor& x, const Tensor& w, const Tensor& y) {
  if (!x.is_cpu()) return aten::multiply(x, w.t(), y, false);
  if (narrow(x)) return store(x, w.t(), y);
  multiply_transposed(block(x), block(w), block(y), x.size(0), w.size(0), x.size(1), 0);
}

void add_product(const Tensor& x, const Tensor& w, const Tensor& y) {
  if (!x.is_cpu()) return aten::multiply(x, w.t(), y, true);
  if (narrow(x)) return void(y.add_(at::mm(x, w.t())));
  multiply_transposed(block(x), block(w), block(y), x.size(0), w.size(0), x.size(1), 1);
}

void input_gradient(const Tensor& dy, const Tensor& w, const Tensor& dx) {
  if (!dy.is_cpu()) return aten::multiply(dy, w, dx, false);
  if (narrow(dy)) return store(dy, w, dx);
  multiply(block(dy), block(w), block(dx), dy.size(0), w.size(1), dy.size(1), 0);
}

void add_input_gradient(const Tensor& dy, const Tensor& w, const Tensor& dx) {
  if (narrow(dy)) return void(dx.add_(at::mm(dy, w)));
  multiply(block(dy), block(w), block(dx), dy.size(0), w.size(1), dy.size(1), 1);
}

void add_weight_gradient(const Tensor& dy, const Tensor& x, const Tensor& dw) {
  if (!dy.is_cpu()) return aten::multiply(dy.t(), x, dw, true);
  if (narrow(dy)) return void(dw.add_(at::mm(dy.t(), x)));
  transposed_multiply(block(dy), block(x), block(dw), dy.size(1), x.size(1), dy.size(0), 1);
}

}  // namespace tightrope
