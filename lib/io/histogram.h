// Counts of values in TensorBoard's default buckets: edges 1e-12 * 1.1^k below 1e20, their negatives, and 0.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/protobuf.h"

namespace dcl {

class Histogram {
 public:
  /// The edges in ascending order; bucket i holds edges()[i] <= value < edges()[i + 1], the outermost also what is
  /// beyond them.
  static const std::vector<double>& edges();

  Histogram() : counts_(edges().size() - 1) {}
  /// Every value must be a number. The result does not depend on the number of threads.
  void add(std::span<const float> values);

  int64_t count() const { return count_; }
  double min() const { return min_; }
  double max() const { return max_; }
  double sum() const { return sum_; }
  double sum_of_squares() const { return sum_of_squares_; }
  const std::vector<int64_t>& counts() const { return counts_; }

  /// A HistogramProto: right edges and counts from the first bucket that is not empty to the last, behind an empty
  /// bucket that ends at the left edge of the first.
  ProtoMessage message() const;

 private:
  std::vector<int64_t> counts_;
  int64_t count_ = 0;
  double min_ = 0, max_ = 0, sum_ = 0, sum_of_squares_ = 0;
};

}  // namespace dcl
