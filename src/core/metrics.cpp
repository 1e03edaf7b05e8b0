#include "tightrope/core/metrics.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "tightrope/base/check.hpp"

namespace tightrope {
namespace {

void append(std::vector<std::byte>& out, const void* data, size_t bytes) {
  const size_t end = out.size();
  out.resize(end + bytes);
  if (bytes > 0) std::memcpy(out.data() + end, data, bytes);
}

template <class T>
void append(std::vector<std::byte>& out, T value) {
  append(out, &value, sizeof value);
}

void append(std::vector<std::byte>& out, const std::string& text) {
  append(out, static_cast<uint32_t>(text.size()));
  append(out, text.data(), text.size());
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class T>
  T take() {
    T value;
    std::memcpy(&value, bytes(sizeof(T)).data(), sizeof(T));
    return value;
  }

  std::string text() {
    const auto raw = bytes(take<uint32_t>());
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
  }

  std::span<const std::byte> bytes(size_t count) {
    VALIDATE(count <= rest_.size(), "a metrics message is truncated", "a lane report was damaged", "please report it");
    const auto head = rest_.first(count);
    rest_ = rest_.subspan(count);
    return head;
  }

 private:
  std::span<const std::byte> rest_;
};

}  // namespace

void Metrics::add(const std::string& name, double value, double count) {
  Mean& mean = means_[name];
  mean.sum += value * count;
  mean.count += count;
}

void Metrics::add_vector(const std::string& name, std::span<const double> values) {
  auto& target = vectors_[name];
  if (target.empty()) target.resize(values.size(), 0.0);
  EXPECT(target.size() == values.size());
  for (size_t i = 0; i < values.size(); ++i) target[i] += values[i];
}

void Metrics::merge(const Metrics& other) {
  for (const auto& [name, mean] : other.means_) {
    means_[name].sum += mean.sum;
    means_[name].count += mean.count;
  }
  for (const auto& [name, values] : other.vectors_) add_vector(name, values);
}

double Metrics::value(const std::string& name) const {
  const auto found = means_.find(name);
  return found == means_.end() ? std::numeric_limits<double>::quiet_NaN() : found->second.value();
}

std::vector<std::byte> Metrics::pack() const {
  std::vector<std::byte> out;
  append(out, static_cast<uint32_t>(means_.size()));
  for (const auto& [name, mean] : means_) {
    append(out, name);
    append(out, mean.sum);
    append(out, mean.count);
  }
  append(out, static_cast<uint32_t>(vectors_.size()));
  for (const auto& [name, values] : vectors_) {
    append(out, name);
    append(out, static_cast<uint32_t>(values.size()));
    append(out, values.data(), values.size() * sizeof(double));
  }
  return out;
}

Metrics Metrics::unpack(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  Metrics metrics;
  for (auto n = reader.take<uint32_t>(); n > 0; --n) {
    Mean& mean = metrics.means_[reader.text()];
    mean.sum = reader.take<double>();
    mean.count = reader.take<double>();
  }
  for (auto n = reader.take<uint32_t>(); n > 0; --n) {
    auto& values = metrics.vectors_[reader.text()];
    const auto count = reader.take<uint32_t>();
    const auto raw = reader.bytes(size_t{count} * sizeof(double));
    values.resize(count);
    std::memcpy(values.data(), raw.data(), raw.size());
  }
  return metrics;
}

}  // namespace tightrope
