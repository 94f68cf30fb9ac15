// Figures of a sample.
#pragma once

#include <cmath>
#include <numeric>
#include <span>

namespace dcl {

/// Of at least one value.
inline double sample_mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Sample standard deviation (n - 1) of at least two values.
inline double sample_deviation(std::span<const double> values) {
  const double mean = sample_mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

}  // namespace dcl
