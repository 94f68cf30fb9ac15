// Row operations by their definitions, in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace dcl::test {

using Row = std::vector<double>;

inline double oracle_norm(const Row& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return std::sqrt(sum);
}

/// F.normalize with eps 1e-12.
inline Row oracle_normalize(Row x) {
  const double divisor = std::max(oracle_norm(x), 1e-12);
  for (double& v : x) v /= divisor;
  return x;
}

inline double oracle_cross_entropy(const Row& logits, size_t label) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double v : logits) sum += std::exp(v - top);
  return std::log(sum) + top - logits[label];
}

/// d loss / d logits of one row.
inline Row oracle_cross_entropy_gradient(const Row& logits, size_t label) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double v : logits) sum += std::exp(v - top);
  Row gradient;
  for (size_t j = 0; j < logits.size(); ++j)
    gradient.push_back(std::exp(logits[j] - top) / sum - (j == label ? 1.0 : 0.0));
  return gradient;
}

/// Positions of the k largest, descending, equal ones by position, NaN last.
inline std::vector<int32_t> oracle_top_k(const std::vector<float>& scores, size_t k) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const bool a_nan = std::isnan(scores[static_cast<size_t>(a)]), b_nan = std::isnan(scores[static_cast<size_t>(b)]);
    if (a_nan || b_nan) return !a_nan && b_nan;
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  order.resize(k);
  return order;
}

}  // namespace dcl::test
