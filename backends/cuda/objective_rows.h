// What both ways to compute the objective do for an anchor, beside its negatives. Included by objective.cu only.
#pragma once

#include "core/objective_form.h"
#include "cuda/objective_tiles.h"
#include "cuda/reduce.h"

namespace dcl::cuda {

/// dLoss/ds of one row, as in ContrastiveRow.
struct RowWeights {
  double pair, positive, negative, importance;
};

__device__ inline RowWeights weights_of(const ContrastiveRow<double>& row) {
  return {row.pair, row.positive, row.negative, row.importance};
}

/// What a block or a thread adds to the result.
enum Report { kLossSum, kAtFloor, kPositiveCosines, kNegativeCosines, kNegativeCount, kReports };

/// Cosine of two rows of z in double, at lane 0 of each row of threads.
template <class In>
__device__ double cosine(const In* one, const In* other, int64_t dim) {
  double sum = 0;
#pragma unroll 8
  for (int64_t k = tile_lane(); k < dim; k += kLanes)
    sum += static_cast<double>(one[k]) * static_cast<double>(other[k]);
  return sum_lanes(sum);
}

/// What an anchor's extra positives give to its dz. positive: its weight; extra: [views - 2, anchors].
template <class In, class T>
__device__ double through_extras(const Anchors<In, T>& a, int64_t views, double positive, const double* extra,
                                 int64_t row, int64_t k) {
  const int64_t image = row < a.batch ? row : row - a.batch;
  double sum = 0;
#pragma unroll 1
  for (int64_t view = 2; view < views; ++view)
    sum +=
        positive * extra[(view - 2) * a.count() + row] * static_cast<double>(a.z[(view * a.batch + image) * a.dim + k]);
  return sum;
}

/// dz of an extra positive: `row` is not an anchor.
template <class In, class T>
__device__ double gradient_of_extra(const Anchors<In, T>& a, const RowWeights* weights, const double* extra,
                                    int64_t row, int64_t k) {
  const int64_t image = row % a.batch, other = image + a.batch;
  const double* e = extra + (row / a.batch - 2) * a.count();
  const auto z = [&](int64_t i) { return static_cast<double>(a.z[i * a.dim + k]); };
  return weights[image].positive * e[image] * z(image) + weights[other].positive * e[other] * z(other);
}

/// The result from the reports of the threads of one block.
__device__ inline void write_result(const double (&reports)[kReports], double anchor_weight, double* result) {
  double sums[kReports];
#pragma unroll
  for (int k = 0; k < kReports; ++k) sums[k] = block_sum<kTileThreads>(reports[k]);
  if (threadIdx.x > 0) return;
  result[kLoss] = sums[kLossSum] * anchor_weight;
  result[kClampFraction] = sums[kAtFloor] * anchor_weight;
  result[kMeanPositive] = sums[kPositiveCosines] * anchor_weight;
  result[kMeanNegative] = sums[kNegativeCount] > 0 ? sums[kNegativeCosines] / sums[kNegativeCount] : 0;
}

}  // namespace dcl::cuda
