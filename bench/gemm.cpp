// The machine's rate for the matrix products of a 256-wide layer, one thread: GF/s, the median of seven.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

extern "C" void sgemm_(const char* transpose_a, const char* transpose_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                       const float* beta, float* c, const int* ldc);

int main() {
  constexpr int kWidth = 256, kRows = 1024, kTimes = 40;
  std::vector<float> x(kRows * kWidth, 0.5F), w(kWidth * kWidth, 0.25F), y(kRows * kWidth);
  const float one = 1, zero = 0;
  std::vector<double> rates;
  for (int repeat = 0; repeat < 8; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kTimes; ++i)
      sgemm_("N", "N", &kWidth, &kRows, &kWidth, &one, w.data(), &kWidth, x.data(), &kWidth, &zero, y.data(), &kWidth);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (repeat > 0) rates.push_back(2e-9 * kTimes * kRows * kWidth * kWidth / seconds);
  }
  std::sort(rates.begin(), rates.end());
  std::printf("%.1f\n", rates[rates.size() / 2]);
}
