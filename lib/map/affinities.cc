#include "map/affinities.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"

namespace dcl {
namespace {

constexpr int kMaxSteps = 100;
constexpr double kTolerance = 1e-5;
constexpr int64_t kPiece = 64;

struct Entry {
  int32_t column;
  double value;
};

/// Entries of one column become one.
size_t join_columns(std::span<Entry> row) {
  std::sort(row.begin(), row.end(), [](const Entry& a, const Entry& b) { return a.column < b.column; });
  size_t kept = 0;
  for (const Entry& entry : row)
    if (kept > 0 && row[kept - 1].column == entry.column)
      row[kept - 1].value += entry.value;
    else
      row[kept++] = entry;
  return kept;
}

}  // namespace

int64_t neighbours_for(double perplexity) { return static_cast<int64_t>(3 * perplexity + 1); }

void conditional_probabilities(std::span<const double> squared_distances, double perplexity, std::span<double> p) {
  // Distances to the nearest give the same p, and never only zeros before the division.
  const double nearest = *std::min_element(squared_distances.begin(), squared_distances.end());
  double beta = 1, low = 0, high = std::numeric_limits<double>::infinity();
  for (int step = 0; step < kMaxSteps; ++step) {
    double sum = 0, weighted = 0;
    for (size_t j = 0; j < p.size(); ++j) {
      const double distance = squared_distances[j] - nearest;
      p[j] = std::exp(-beta * distance);
      sum += p[j], weighted += p[j] * distance;
    }
    for (double& value : p) value /= sum;
    const double excess = std::log(sum) + beta * weighted / sum - std::log(perplexity);
    if (std::abs(excess) <= kTolerance) return;
    (excess > 0 ? low : high) = beta;
    beta = std::isinf(high) ? beta * 2 : (low + high) / 2;
  }
}

Affinities joint_probabilities(std::span<const int32_t> neighbours, std::span<const double> squared_distances,
                               int64_t points, double perplexity) {
  const size_t count = static_cast<size_t>(points), k = neighbours.size() / count;
  std::vector<double> conditional(neighbours.size());
  parallel_chunks(points, kPiece, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      conditional_probabilities(squared_distances.subspan(i * k, k), perplexity,
                                std::span(conditional).subspan(i * k, k));
  });

  // Both orders of every pair, by row.
  std::vector<size_t> first(count + 1), used(count);
  for (size_t i = 0; i < count; ++i) first[i + 1] = k;
  for (const int32_t j : neighbours) ++first[static_cast<size_t>(j) + 1];
  for (size_t i = 0; i < count; ++i) first[i + 1] += first[i];
  std::vector<Entry> entries(first[count]);
  for (size_t e = 0; e < neighbours.size(); ++e) {
    const size_t i = e / k, j = static_cast<size_t>(neighbours[e]);
    entries[first[i] + used[i]++] = {static_cast<int32_t>(j), conditional[e]};
    entries[first[j] + used[j]++] = {static_cast<int32_t>(i), conditional[e]};
  }
  parallel_chunks(points, kPiece, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      used[i] = join_columns(std::span(entries).subspan(first[i], used[i]));
  });

  Affinities joint;
  joint.begin.push_back(0);
  const double total = 2 * static_cast<double>(points);  // each point's conditional probabilities are in it twice
  for (size_t i = 0; i < count; ++i) {
    for (const Entry& entry : std::span(entries).subspan(first[i], used[i])) {
      joint.column.push_back(entry.column);
      joint.value.push_back(entry.value / total);
    }
    joint.begin.push_back(static_cast<int64_t>(joint.column.size()));
  }
  return joint;
}

}  // namespace dcl
