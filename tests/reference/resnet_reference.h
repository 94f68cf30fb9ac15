// What the reference tests of the networks share: tensors generated from their names, probes, comparison
// (reference/README).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "nn/parameters.h"

namespace dcl::test {

// ---- Generated tensors
// ------------------------------------------------------------------------------------------------

class Generator {
 public:
  explicit Generator(std::string salt) : salt_(std::move(salt)) {}

  std::vector<float> uniform(const std::string& name, int64_t count, double low, double high) const {
    uint64_t state = 0xcbf29ce484222325u;  // FNV-1a
    for (const char c : salt_ + name) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) {
      uint64_t z = state += 0x9E3779B97F4A7C15u;  // splitmix64
      z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
      z = (z ^ z >> 27) * 0x94D049BB133111EBu;
      z = z ^ z >> 31;
      value = static_cast<float>(low + (high - low) * (static_cast<double>(z >> 11) * 0x1p-53));
    }
    return values;
  }

  std::vector<float> parameter(const ParameterEntry& entry) const {
    const auto [low, high] = range_of(entry);
    return uniform(entry.name, entry.size, low, high);
  }

 private:
  static std::pair<double, double> range_of(const ParameterEntry& entry) {
    const auto symmetric = [](double bound) { return std::pair{-bound, bound}; };
    const double row =
        static_cast<double>(entry.size) / (entry.shape.empty() ? 1 : static_cast<double>(entry.shape[0]));
    switch (entry.kind) {
      case ParameterKind::conv_weight:
        return symmetric(std::sqrt(6 / row));
      case ParameterKind::linear_weight:
        return symmetric(std::sqrt(3 / row));
      case ParameterKind::norm_weight:
        return {0.8, 1.2};
      case ParameterKind::running_mean:
        return symmetric(0.1);
      case ParameterKind::running_var:
        return {0.5, 1.5};
      default:
        return symmetric(0.2);
    }
  }

  std::string salt_;
};

inline std::vector<float> nhwc(const std::vector<float>& nchw, int64_t n, int64_t c, int64_t pixels) {
  std::vector<float> out(nchw.size());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < c; ++k)
      for (int64_t p = 0; p < pixels; ++p)
        out[static_cast<size_t>((i * pixels + p) * c + k)] = nchw[static_cast<size_t>((i * c + k) * pixels + p)];
  return out;
}

inline std::vector<float> read_back(Backend& backend, ConstTensorRef tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
  backend.synchronize();
  backend.copy_out(values.data(), tensor);
  return values;
}

// ---- Comparison
// -------------------------------------------------------------------------------------------------------

/// Largest |got - want| / |want| of any row (L2 norms).
inline double worst_row_error(const std::vector<float>& got, const std::vector<double>& want, size_t rows) {
  EXPECT_EQ(got.size(), want.size());
  const size_t width = want.size() / rows;
  double worst = 0;
  for (size_t row = 0; row < rows; ++row) {
    double error = 0, norm = 0;
    for (size_t i = row * width; i < (row + 1) * width; ++i) {
      error += (got[i] - want[i]) * (got[i] - want[i]);
      norm += want[i] * want[i];
    }
    worst = std::isfinite(error) ? std::max(worst, std::sqrt(error / norm)) : INFINITY;
  }
  return worst;
}

/// |a - b| / |b| (L2 norms).
inline double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double distance = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    distance += difference * difference;
    norm += static_cast<double>(b[i]) * b[i];
  }
  return std::sqrt(distance / norm);
}

/// What a probe records of a tensor: L2 norm, sum, first entries.
inline std::vector<double> probe(const std::vector<float>& values) {
  double squares = 0, sum = 0;
  for (const float v : values) squares += static_cast<double>(v) * v, sum += v;
  std::vector<double> out = {std::sqrt(squares), sum};
  out.insert(out.end(), values.begin(), values.begin() + static_cast<int64_t>(std::min<size_t>(8, values.size())));
  return out;
}

/// Lower bound of |got - want| / |want| over the tensor that the probes prove: by their norms, their sums
/// (Cauchy-Schwarz) and their first entries.
inline double proven_error(const std::vector<double>& got, const std::vector<double>& want, int64_t size) {
  EXPECT_EQ(got.size(), want.size());
  double entries = 0;
  for (size_t i = 2; i < want.size(); ++i) entries += (got[i] - want[i]) * (got[i] - want[i]);
  const double by_norm = std::abs(got[0] - want[0]);
  const double by_sum = std::abs(got[1] - want[1]) / std::sqrt(static_cast<double>(size));
  return std::max({by_norm, by_sum, std::sqrt(entries)}) / want[0];
}

}  // namespace dcl::test
