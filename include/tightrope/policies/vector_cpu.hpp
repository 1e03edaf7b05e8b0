#pragma once
// Private to the CPU kernels: one vector register of floats, in GCC's vector extensions, and the few functions of it
// that they need.  As wide as the machine that the file is compiled for.
#include <cstdint>
#include <cstring>
#if defined(__FMA__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace tightrope {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));

inline constexpr int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

inline Floats load(const float* from) {
  Floats v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline Words load(const uint32_t* from) {
  Words v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void store(Floats v, float* to) { std::memcpy(to, &v, sizeof v); }

inline Floats broadcast(float x) { return x - Floats{}; }

// The first `count` lanes from memory, the others `rest`.
inline Floats load_some(const float* from, int64_t count, float rest) {
  Floats v = broadcast(rest);
  std::memcpy(&v, from, static_cast<size_t>(count) * sizeof(float));
  return v;
}

// a b + c, rounded once where the machine can; always the same way, so that equal inputs give equal bits.
inline Floats multiply_add(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

// Over the lanes, in a fixed order.
inline float largest(Floats v) {
  float m = v[0];
  for (int i = 1; i < kLanes; ++i) m = v[i] > m ? v[i] : m;
  return m;
}

inline double sum_of(Floats v) {
  double sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += v[i];
  return sum;
}

// e^x with a relative error below 2e-7 for x <= 88; 0 below -87, where the result would not be a normal number.
// x = n log 2 + r with |r| <= log(2)/2, the polynomial of degree 7 in r, n added to the exponent.
inline Floats exponential(Floats x) {
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer, which lies in the low bits
  const Floats bounded = x < -87.0F ? broadcast(-87.0F) : x;
  const Floats shifted = multiply_add(bounded, broadcast(1.44269504F), broadcast(kRound));
  const Floats n = shifted - kRound;
  Floats r = multiply_add(n, broadcast(-0.693359375F), bounded);  // log 2 in two parts: n times the first is exact
  r = multiply_add(n, broadcast(2.12194440e-4F), r);
  Floats p = broadcast(1.0F / 5040);
  for (const float c : {1.0F / 720, 1.0F / 120, 1.0F / 24, 1.0F / 6, 0.5F, 1.0F, 1.0F})
    p = multiply_add(p, r, broadcast(c));
  const Floats scaled = (Floats)((Words)p + ((Words)shifted << 23));
  const Floats value = x < -87.0F ? Floats{} : scaled;
  return x == x ? value : x;
}

}  // namespace tightrope
