#pragma once
// Mergeable measurements: sums and counts, so that ranks and slices add up without a collective, and small
// vectors (histograms, distributions) that add element by element.
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace tightrope {

struct Mean {
  double sum = 0;
  double count = 0;
  double value() const { return count > 0 ? sum / count : 0; }
};

class Metrics {
 public:
  void add(const std::string& name, double value, double count = 1);  // sum += value * count
  void add_vector(const std::string& name, std::span<const double> values);
  void merge(const Metrics& other);  // vectors of one name must have one size

  bool has(const std::string& name) const { return means_.count(name) > 0; }
  double value(const std::string& name) const;  // NaN where the name is absent
  const std::map<std::string, Mean>& means() const { return means_; }
  const std::map<std::string, std::vector<double>>& vectors() const { return vectors_; }

  std::vector<std::byte> pack() const;
  static Metrics unpack(std::span<const std::byte> bytes);  // throws Failure on a malformed message

 private:
  std::map<std::string, Mean> means_;
  std::map<std::string, std::vector<double>> vectors_;
};

}  // namespace tightrope
