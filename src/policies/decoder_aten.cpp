#include "decoder_aten.hpp"

#include <ATen/ATen.h>

#include <algorithm>

namespace tightrope::aten {
namespace {

Tensor wide(const Tensor& tensor) { return tensor.to(at::kFloat); }

// a b in float32
Tensor wide_product(const Tensor& a, const Tensor& b) {
  if (a.scalar_type() == at::kBFloat16 && a.is_cuda()) return at::mm(a, b, at::kFloat);
  return wide(at::mm(a, b));
}

Tensor inverse_rms(const Tensor& x, double epsilon) { return (x.square().mean(1, /*keepdim=*/true) + epsilon).rsqrt(); }

// The entries whose rows lie in a block, counted from its first row.
struct Part {
  Part(const HeadEntries& entries, int64_t first, int64_t rows, int64_t all_rows) {
    if (rows == all_rows) {
      row = entries.row, target = entries.target;
      return;
    }
    index = ((entries.row >= first) & (entries.row < first + rows)).nonzero().squeeze(1);
    row = entries.row.index_select(0, index) - first;
    target = entries.target.index_select(0, index);
  }
  Tensor of(const Tensor& values) const { return index.defined() ? values.index_select(0, index) : values; }

  Tensor index, row, target;
};

// Calls body(first row, rows, their logits divided by the temperature).
template <class Body>
void for_blocks(const Tensor& h, const Tensor& w, double temperature, Body body) {
  const int64_t all_rows = h.size(0), at_once = std::max<int64_t>((int64_t{1} << 27) / w.size(0), 1);
  for (int64_t first = 0; first < all_rows; first += at_once) {
    const int64_t rows = std::min(at_once, all_rows - first);
    const Tensor logits = wide_product(h.narrow(0, first, rows), w.t());
    if (temperature != 1) logits.mul_(1 / temperature);
    body(first, rows, logits);
  }
}

}  // namespace

void rms_norm(const Tensor& x, const Tensor& w, double epsilon, const Tensor& y) {
  y.copy_(x * inverse_rms(x, epsilon) * w);
}

// With n = x r: dn = dy w, dx = r (dn - n mean(n dn)), dw = dy n.
void rms_norm_backward(const Tensor& x, const Tensor& w, double epsilon, const Tensor& dy, const Tensor& dx,
                       const Tensor& dw) {
  const Tensor r = inverse_rms(x, epsilon), n = x * r, d = wide(dy), dn = d * w;
  dx.add_(r * (dn - n * (n * dn).mean(1, /*keepdim=*/true)));
  dw.add_((d * n).sum(0));
}

void swiglu(const Tensor& gate_up, const Tensor& y) {
  const int64_t width = y.size(1);
  y.copy_(at::silu(wide(gate_up.narrow(1, 0, width))) * gate_up.narrow(1, width, width));
}

void swiglu_backward(const Tensor& gate_up, const Tensor& dy, const Tensor& d_gate_up) {
  const int64_t width = dy.size(1);
  const Tensor g = wide(gate_up.narrow(1, 0, width)), u = wide(gate_up.narrow(1, width, width)), d = wide(dy);
  const Tensor s = g.sigmoid();
  d_gate_up.narrow(1, 0, width).copy_(d * u * s * (1 + g * (1 - s)));
  d_gate_up.narrow(1, width, width).copy_(d * g * s);
}

void multiply(const Tensor& a, const Tensor& b, const Tensor& y, bool add) {
  if (a.scalar_type() == at::kFloat && y.scalar_type() == at::kFloat) {
    y.addmm_(a, b, /*beta=*/add ? 1 : 0);
  } else if (add) {
    y.add_(wide_product(a, b));
  } else {
    y.copy_(at::mm(a, b));
  }
}

HeadResult head_log_probs(const Tensor& h, const Tensor& w, const HeadEntries& entries, double temperature,
                          bool entropy) {
  const auto options = h.options().dtype(at::kFloat);
  HeadResult result{at::empty({entries.row.size(0)}, options), at::empty({h.size(0)}, options),
                    entropy ? at::empty({h.size(0)}, options) : Tensor()};
  for_blocks(h, w, temperature, [&](int64_t first, int64_t rows, const Tensor& logits) {
    const Part part(entries, first, rows, h.size(0));
    const Tensor normaliser = logits.logsumexp(1);
    const Tensor log_prob = logits.index({part.row, part.target}) - normaliser.index_select(0, part.row);
    part.index.defined() ? result.log_prob.index_copy_(0, part.index, log_prob) : result.log_prob.copy_(log_prob);
    result.log_normaliser.narrow(0, first, rows).copy_(normaliser);
    if (entropy) {
      const Tensor mean = ((logits - normaliser.unsqueeze(1)).exp_() * logits).sum(1);
      result.entropy.narrow(0, first, rows).copy_(normaliser - mean);
    }
  });
  return result;
}

Tensor head_backward(const Tensor& h, const Tensor& w, const HeadEntries& entries, double temperature,
                     const Tensor& log_normaliser, const Tensor& gradient, const Tensor& dw) {
  const Tensor g = gradient / temperature;
  const Tensor total = at::zeros({h.size(0)}, g.options()).index_add_(0, entries.row, g);
  const Tensor dh = at::empty({h.size(0), h.size(1)}, g.options());
  for_blocks(h, w, temperature, [&](int64_t first, int64_t rows, const Tensor& logits) {
    const Part part(entries, first, rows, h.size(0));
    Tensor dz = logits.sub_(log_normaliser.narrow(0, first, rows).unsqueeze(1)).exp_();
    dz.mul_(-total.narrow(0, first, rows).unsqueeze(1));
    dz.index_put_({part.row, part.target}, part.of(g), /*accumulate=*/true);
    dz = dz.to(h.scalar_type());
    multiply(dz.t(), h.narrow(0, first, rows), dw, /*add=*/true);
    dh.narrow(0, first, rows).copy_(wide_product(dz, w));
  });
  return dh;
}

}  // namespace tightrope::aten
