// From the sums of the first pass (objective_kept.h) to the weights of rows and the result. Included by objective.cu
// only.
#pragma once

#include "cuda/objective_kept.h"

namespace dcl::cuda {

inline constexpr int kRowsAtOnce = 2, kTilesAtOnce = 16;  // of a thread

/// Sums over all tiles of the rows first, first + kTileThreads, ... `meanwhile` is called once, with loads on their
/// way.
template <class T, class Meanwhile>
__device__ __forceinline__ void row_totals(const Kept<T>& kept, int kind, int32_t first, const Meanwhile& meanwhile,
                                           double (&total)[kRowsAtOnce]) {
  const T* from = kept.sums + int64_t{kind} * kept.tiles * kept.padded() + first;
#pragma unroll
  for (int r = 0; r < kRowsAtOnce; ++r) total[r] = 0;
#pragma unroll 1
  for (int32_t begin = 0; begin < kept.tiles; begin += kTilesAtOnce) {
    T part[kTilesAtOnce][kRowsAtOnce];
#pragma unroll
    for (int n = 0; n < kTilesAtOnce; ++n)
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) {
        const bool inside = begin + n < kept.tiles && first + r * kTileThreads < kept.padded();
        part[n][r] = inside ? from[(begin + n) * kept.padded() + r * kTileThreads] : T{0};
      }
    if (begin == 0) meanwhile();
#pragma unroll
    for (int n = 0; n < kTilesAtOnce; ++n)
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) total[r] += static_cast<double>(part[n][r]);
  }
}

/// use(row, ContrastiveRow<C>) for each of the thread's anchors; `meanwhile` is called once by every thread.
template <class C, class In, class T, class Meanwhile, class Use>
__device__ __forceinline__ void for_rows(const Anchors<In, T>& a, const ContrastiveSettings<C>& settings, int64_t views,
                                         const Kept<T>& kept, const Meanwhile& meanwhile, const Use& use) {
  const auto thread = static_cast<int32_t>(threadIdx.x);
#pragma unroll 1
  for (int32_t begin = 0; begin < a.count(); begin += kRowsAtOnce * kTileThreads) {
    double pair[kRowsAtOnce] = {};
    C weighted[kRowsAtOnce] = {}, other[kRowsAtOnce] = {};
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      const int32_t row = begin + thread + r * kTileThreads;
      if (row < a.count()) pair[r] = kept.pairs[a.image(row)].exponential;
    }
    const int kinds = settings.rule == NegativeRule::plain ? 1 : 2;  // the second is importance or count
#pragma unroll 1
    for (int n = 0; n < kinds; ++n) {
      const int kind = n == 0 ? kWeighted : settings.rule == NegativeRule::importance ? kImportance : kCount;
      double total[kRowsAtOnce];
      const auto once = [&] {
        if (begin == 0 && n == 0) meanwhile();
      };
      row_totals(kept, kind, begin + thread, once, total);
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) (n == 0 ? weighted[r] : other[r]) = static_cast<C>(total[r]);
    }
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      const int32_t row = begin + thread + r * kTileThreads;
      if (row >= a.count()) continue;
      double positives = pair[r];
#pragma unroll 1
      for (int64_t view = 2; view < views; ++view) positives += kept.extra[(view - 2) * a.count() + row];
      ContrastiveSums<C> sums;
      sums.pair = static_cast<C>(pair[r]), sums.positives = static_cast<C>(positives);
      sums.weighted = weighted[r];
      sums.importance = sums.count = other[r];
      use(row, contrastive_row(settings, sums));
    }
  }
}

/// The whole of one kind of sums: this thread's share.
template <class T>
__device__ double share_of_sums(const Kept<T>& kept, KeptSum kind) {
  const int64_t count = int64_t{kept.tiles} * kept.padded();
  const T* from = kept.sums + kind * count;
  double sum = 0;
#pragma unroll 8
  for (int64_t at = int64_t{threadIdx.x} * kVector<T>; at < count; at += kTileThreads * kVector<T>) {
    const Pack<T> pack = load_pack(from + at);
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) sum += static_cast<double>(pack.lanes[i]);
  }
  return sum;
}

/// The result, by one block.
template <class In, class T>
__device__ void kept_result(const Anchors<In, T>& a, const ContrastiveSettings<double>& settings, int64_t views,
                            const Kept<T>& kept, double* result) {
  double report[kReports] = {};
  report[kNegativeCosines] = share_of_sums(kept, kCosines);
  report[kNegativeCount] = share_of_sums(kept, kCount);
  const auto nothing = [] {};
  for_rows(a, settings, views, kept, nothing, [&](int32_t row, const ContrastiveRow<double>& out) {
    if (views > 2) kept.weights[row] = weights_of(out);
    report[kLossSum] += out.loss;
    report[kAtFloor] += out.at_floor;
    report[kPositiveCosines] += kept.pairs[a.image(row)].cosine;
  });
  write_result(report, settings.anchor_weight, result);
}

}  // namespace dcl::cuda
