// The points that tests of maps and scikit-learn (make_map_values.py) share.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "map/affinities.h"

namespace dcl::test {

inline constexpr int64_t kCount = 300, kDim = 8, kClusters = 5;

/// As points() of make_map_values.py has them: sums in double, f32 at the end.
inline std::vector<float> test_points(int64_t count = kCount) {
  uint64_t state = 1;
  std::vector<float> points;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t d = 0; d < kDim; ++d) {
      double total = 0;
      for (int k = 0; k < 4; ++k) {
        state = (state * 1103515245 + 12345) % (uint64_t{1} << 31);
        total += static_cast<double>(state) / 0x1p31;
      }
      points.push_back(static_cast<float>(total - 2 + (d == i % kClusters ? 2.0 : 0.0)));
    }
  return points;
}

inline std::vector<float> centred(std::vector<float> points, size_t dim = kDim) {
  const size_t count = points.size() / dim;
  for (size_t d = 0; d < dim; ++d) {
    double mean = 0;
    for (size_t i = 0; i < count; ++i) mean += double{points[i * dim + d]} / static_cast<double>(count);
    for (size_t i = 0; i < count; ++i) points[i * dim + d] = static_cast<float>(double{points[i * dim + d]} - mean);
  }
  return points;
}

inline double squared_distance(std::span<const float> points, size_t i, size_t j) {
  double sum = 0;
  for (size_t d = 0; d < kDim; ++d) sum += std::pow(double{points[i * kDim + d]} - double{points[j * kDim + d]}, 2);
  return sum;
}

/// With the k nearest other points of each, found by sorting.
inline Affinities affinities_of(std::span<const float> points, int64_t k, double perplexity) {
  const size_t count = points.size() / kDim;
  std::vector<int32_t> neighbours;
  std::vector<double> distances;
  for (size_t i = 0; i < count; ++i) {
    std::vector<std::pair<double, int32_t>> others;
    for (size_t j = 0; j < count; ++j)
      if (j != i) others.emplace_back(squared_distance(points, i, j), static_cast<int32_t>(j));
    std::sort(others.begin(), others.end());
    for (const auto& [distance, j] : std::span(others).first(static_cast<size_t>(k)))
      neighbours.push_back(j), distances.push_back(distance);
  }
  return joint_probabilities(neighbours, distances, static_cast<int64_t>(count), perplexity);
}

}  // namespace dcl::test
