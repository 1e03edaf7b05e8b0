#include "tightrope/policies/packed_matrix_cpu.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "tightrope/base/check.hpp"
#include "tightrope/policies/parallel_cpu.hpp"

namespace tightrope {
namespace {

constexpr int kVectors = PackedMatrix::kPanel / kLanes;         // of a panel's step
constexpr int kTileRows = kLanes == 16 ? 12 : 6;                // so that sums, weights and one x fill the registers
constexpr int kLinesOfStep = (PackedMatrix::kPanel + 15) / 16;  // cache lines of 16 words
constexpr int64_t kAhead = 16 * PackedMatrix::kPanel;           // words to fetch ahead in a panel that is read once

float as_float(uint32_t bits) { return std::bit_cast<float>(bits); }

// The bfloat16 nearest to x, ties to even, in the high half; what is not a number stays so.
uint32_t rounded(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000U;
  return x == x ? nearest : 0x7fc00000U;
}

// Pairs of consecutive values in one word, the earlier in the low half; an odd last one has a zero beside it.
void round_pairs(const float* from, int64_t count, uint32_t* to) {
  for (int64_t k = 0; k < count / 2; ++k) to[k] = rounded(from[2 * k]) >> 16 | rounded(from[2 * k + 1]);
  if (count % 2 == 1) to[count / 2] = rounded(from[count - 1]) >> 16;
}

// Sums of one tile: some rows of x by some panels.
template <int rows, int vectors>
using Sums = std::array<std::array<Floats, vectors>, rows>;

// How a tile takes one word of each output, at step k of the rows of x.
struct Float32Step {
  using Input = float;
  static constexpr int64_t per_word = 1;  // inputs

  template <int rows, int vectors>
  static void add(const std::array<Words, vectors>& word, const Input* x, int64_t stride, Sums<rows, vectors>& sums) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const Floats value = broadcast(x[r * stride]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sums[r][v] = multiply_add(value, (Floats)word[v], sums[r][v]);
    }
  }
};

struct BFloat16Step {
  using Input = float;
  static constexpr int64_t per_word = 2;

  template <int rows, int vectors>
  static void add(const std::array<Words, vectors>& word, const Input* x, int64_t stride, Sums<rows, vectors>& sums) {
    std::array<Words, vectors> earlier, later;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      earlier[v] = word[v] << 16;
      later[v] = word[v] & 0xffff0000U;
    }
    Float32Step::add<rows, vectors>(earlier, x, stride, sums);
    Float32Step::add<rows, vectors>(later, x + 1, stride, sums);
  }
};

#ifdef __AVX512BF16__
// x holds pairs, as the weights do.
struct PairStep {
  using Input = uint32_t;
  static constexpr int64_t per_word = 1;

  template <int rows, int vectors>
  static void add(const std::array<Words, vectors>& word, const Input* x, int64_t stride, Sums<rows, vectors>& sums) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const auto pair = (__m512bh)_mm512_set1_epi32(static_cast<int>(x[r * stride]));
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], pair, (__m512bh)word[v]);
    }
  }
};
#endif

template <class Input>
struct Product {  // what all tiles of a call share
  const Input* x;
  int64_t stride;  // of x, in its elements
  int64_t rows;
  const uint32_t* packed;
  int64_t steps;  // words of an output in a panel
  int64_t whole;  // of them, those that take per_word inputs
  const float* bias;
  float* y;
  int64_t outputs;
  bool add;
};

template <class Input>
void write_row(const Product<Input>& p, int64_t row, int64_t panel, const Floats* sums) {
  const int64_t first = panel * PackedMatrix::kPanel;
  float* const y = p.y + row * p.outputs + first;
  const float* const bias = p.bias == nullptr ? nullptr : p.bias + first;
  if (first + PackedMatrix::kPanel <= p.outputs) {
    for (int v = 0; v < kVectors; ++v) {
      Floats value = sums[v];
      if (bias != nullptr) value += load(bias + v * kLanes);
      if (p.add) value += load(y + v * kLanes);
      store(value, y + v * kLanes);
    }
  } else {  // the last panel, in part
    for (int64_t j = 0; j < p.outputs - first; ++j) {
      const float value = sums[j / kLanes][j % kLanes] + (bias == nullptr ? 0 : bias[j]);
      y[j] = p.add ? value + y[j] : value;
    }
  }
}

// Words to fetch while a tile is at work: one line of every panel each `every` steps.
struct Ahead {
  const uint32_t* from;
  int64_t every;
};

// rows x (panels * kPanel) outputs at once.
template <class Step, int rows, int panels>
void tile(const Product<typename Step::Input>& p, int64_t row, int64_t panel, Ahead ahead) {
  constexpr int vectors = panels * kVectors;
  const int64_t panel_words = p.steps * PackedMatrix::kPanel;
  const uint32_t* w = p.packed + panel * panel_words;
  const typename Step::Input* x = p.x + row * p.stride;
  Sums<rows, vectors> sums{};
  const auto words = [&] {
    std::array<Words, vectors> word;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) word[v] = load(w + v / kVectors * panel_words + v % kVectors * kLanes);
    return word;
  };
  for (int64_t k = 0; k < p.whole; ahead.from += PackedMatrix::kPanel) {
#pragma GCC unroll 8
    for (int i = 0; i < panels * kLinesOfStep; ++i)
      __builtin_prefetch(ahead.from + i / kLinesOfStep * panel_words + i % kLinesOfStep * 16);
    for (const int64_t end = std::min(p.whole, k + ahead.every); k < end; ++k) {
      Step::template add<rows, vectors>(words(), x, p.stride, sums);
      x += Step::per_word;
      w += PackedMatrix::kPanel;
    }
  }
  if constexpr (Step::per_word == 2) {
    if (p.whole < p.steps) {  // an odd last input
      auto word = words();
      for (auto& each : word) each <<= 16;
      Float32Step::add<rows, vectors>(word, x, p.stride, sums);
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < panels; ++i) write_row(p, row + r, panel + i, &sums[r][i * kVectors]);
}

template <class Step, int rows>
void tile_of(int64_t wanted, const Product<typename Step::Input>& p, int64_t row, int64_t panel, Ahead ahead) {
  if constexpr (rows > 1)
    if (wanted < rows) return tile_of<Step, rows - 1>(wanted, p, row, panel, ahead);
  tile<Step, rows, 1>(p, row, panel, ahead);
}

// One or two rows take several panels at once: a tile of one had too few sums to hide the latency of an addition.
template <class Step, int rows, int panels>
int64_t wide_tiles(const Product<typename Step::Input>& p, int64_t begin, int64_t end) {
  const int64_t panel_words = p.steps * PackedMatrix::kPanel;
  for (; begin + panels <= end; begin += panels)
    tile<Step, rows, panels>(p, 0, begin, {p.packed + begin * panel_words + kAhead, 1});
  return begin;
}

// Panels [begin, end), each for all rows while it is in the cache; the next one is fetched meanwhile.
template <class Step>
void panels_of(const Product<typename Step::Input>& p, int64_t begin, int64_t end) {
  if (p.rows == 1) begin = wide_tiles<Step, 1, 4>(p, begin, end);
  if (p.rows == 2) begin = wide_tiles<Step, 2, 2>(p, begin, end);
  const int64_t tiles = (p.rows + kTileRows - 1) / kTileRows;
  for (int64_t panel = begin; panel < end; ++panel)
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t row = t * p.rows / tiles,
                    fetched = tiles == 1 ? kAhead / PackedMatrix::kPanel : p.steps + t * p.steps / tiles;
      tile_of<Step, kTileRows>((t + 1) * p.rows / tiles - row, p, row, panel,
                               {p.packed + (panel * p.steps + fetched) * PackedMatrix::kPanel, tiles});
    }
}

template <class Step>
void run(const Product<typename Step::Input>& p) {
  const int64_t panels = (p.outputs + PackedMatrix::kPanel - 1) / PackedMatrix::kPanel;
  const int64_t piece = round_up(items_worth_a_thread(p.rows * p.steps * PackedMatrix::kPanel), 4);
  parallel_pieces(panels, piece, [&](int64_t begin, int64_t end) { panels_of<Step>(p, begin, end); });
}

}  // namespace

PackedMatrix::PackedMatrix(int64_t outputs, int64_t inputs, Precision precision)
    : outputs_(outputs),
      inputs_(inputs),
      precision_(precision),
      steps_(precision == Precision::float32 ? inputs : (inputs + 1) / 2) {}

int64_t PackedMatrix::words() const { return round_up(outputs_, kPanel) * steps_; }

void PackedMatrix::pack(const float* weight, std::span<const float> bias, std::span<uint32_t> storage) {
  EXPECT(static_cast<int64_t>(storage.size()) == words());
  EXPECT(bias.empty() || static_cast<int64_t>(bias.size()) == outputs_);
  bias_.assign(bias.begin(), bias.end());
  packed_ = storage.data();
  parallel_pieces(round_up(outputs_, kPanel) / kPanel, 16, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel)
      pack_panel(weight, panel, storage.data() + panel * steps_ * kPanel);
  });
}

void PackedMatrix::pack_panel(const float* weight, int64_t panel, uint32_t* storage) const {
  constexpr int64_t kBlock = 64;  // steps: a block of every output lies in the first cache while it is transposed
  std::array<std::array<uint32_t, kBlock>, kPanel> block{};
  const int64_t count = std::min<int64_t>(kPanel, outputs_ - panel * kPanel);
  for (int64_t first = 0; first < steps_; first += kBlock) {
    const int64_t size = std::min(kBlock, steps_ - first);
    for (int64_t n = 0; n < count; ++n) {
      const float* const from = weight + (panel * kPanel + n) * inputs_;
      if (precision_ == Precision::float32)
        std::memcpy(block[n].data(), from + first, static_cast<size_t>(size) * sizeof(float));
      else
        round_pairs(from + 2 * first, std::min(2 * size, inputs_ - 2 * first), block[n].data());
    }
    for (int64_t k = 0; k < size; ++k)
      for (int64_t n = 0; n < kPanel; ++n) storage[(first + k) * kPanel + n] = block[n][k];
  }
}

void PackedMatrix::multiply(const float* x, int64_t rows, float* y, bool add) const {
  const float* const bias = bias_.empty() ? nullptr : bias_.data();
  if (rows == 0) return;
  if (precision_ == Precision::float32)
    return run<Float32Step>({x, inputs_, rows, packed_, steps_, steps_, bias, y, outputs_, add});
#ifdef __AVX512BF16__
  thread_local std::vector<uint32_t> pairs;
  pairs.resize(static_cast<size_t>(rows * steps_));
  for (int64_t r = 0; r < rows; ++r) round_pairs(x + r * inputs_, inputs_, pairs.data() + r * steps_);
  run<PairStep>({pairs.data(), steps_, rows, packed_, steps_, steps_, bias, y, outputs_, add});
#else
  run<BFloat16Step>({x, inputs_, rows, packed_, steps_, inputs_ / 2, bias, y, outputs_, add});
#endif
}

void PackedMatrix::row(int64_t n, float* out) const {
  const uint32_t* const word = packed_ + n / kPanel * steps_ * kPanel + n % kPanel;
  for (int64_t k = 0; k < inputs_; ++k)
    if (precision_ == Precision::float32)
      out[k] = as_float(word[k * kPanel]);
    else
      out[k] = as_float(k % 2 == 0 ? word[k / 2 * kPanel] << 16 : word[k / 2 * kPanel] & 0xffff0000U);
}

}  // namespace tightrope
