// The second pass over the kept exponentials (objective_kept.h): every block works out the weights of all rows from
// their sums, and then its part of dz over all columns. Included by objective.cu only.
#pragma once

#include "cuda/objective_kept.h"

namespace dcl::cuda {

inline constexpr int kKeptDims = 16;   // columns of z of a block's part of dz
inline constexpr int kRowsAtOnce = 2;  // of a thread

/// Sums over all tiles of the rows first, first + kTileThreads, ...
template <class T>
__device__ __forceinline__ void row_totals(const Kept<T>& kept, KeptSum kind, int32_t first,
                                           double (&total)[kRowsAtOnce]) {
  const T* from = kept.sums + int64_t{kind} * kept.tiles * kept.padded() + first;
#pragma unroll 8
  for (int32_t tile = 0; tile < kept.tiles; ++tile)
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r)
      if (first + r * kTileThreads < kept.padded())
        total[r] += static_cast<double>(from[tile * kept.padded() + r * kTileThreads]);
}

/// use(row, ContrastiveRow<C>) for each of the thread's anchors.
template <class C, class In, class T, class Use>
__device__ __forceinline__ void for_rows(const Anchors<In, T>& a, const ContrastiveSettings<C>& settings, int64_t views,
                                         const Kept<T>& kept, const Use& use) {
#pragma unroll 1
  for (auto first = static_cast<int32_t>(threadIdx.x); first < a.count(); first += kRowsAtOnce * kTileThreads) {
    // Only one of importance and count is asked for.
    double pair[kRowsAtOnce] = {}, positives[kRowsAtOnce] = {}, weighted[kRowsAtOnce] = {}, other[kRowsAtOnce] = {};
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      const int32_t row = first + r * kTileThreads;
      if (row >= a.count()) continue;
      pair[r] = positives[r] = kept.pairs[a.image(row)].exponential;
#pragma unroll 1
      for (int64_t view = 2; view < views; ++view) positives[r] += kept.extra[(view - 2) * a.count() + row];
    }
    row_totals(kept, kWeighted, first, weighted);
    if (settings.rule != NegativeRule::plain)
      row_totals(kept, settings.rule == NegativeRule::importance ? kImportance : kCount, first, other);
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      const int32_t row = first + r * kTileThreads;
      if (row >= a.count()) continue;
      ContrastiveSums<C> sums;
      sums.pair = static_cast<C>(pair[r]), sums.positives = static_cast<C>(positives[r]);
      sums.weighted = static_cast<C>(weighted[r]);
      sums.importance = sums.count = static_cast<C>(other[r]);
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
  for_rows(a, settings, views, kept, [&](int32_t row, const ContrastiveRow<double>& out) {
    if (views > 2) kept.weights[row] = weights_of(out);
    report[kLossSum] += out.loss;
    report[kAtFloor] += out.at_floor;
    report[kPositiveCosines] += kept.pairs[a.image(row)].cosine;
  });
  write_result(report, settings.anchor_weight, result);
}

/// What a block of the second pass has in shared memory.
template <class T>
struct KeptWeights {
  static constexpr int kColumns = 128 / static_cast<int>(sizeof(T));  // of a warp at a time
  static constexpr int kStage = kColumns * (kKeptTile + kKeptDims);
  static_assert(kKeptTile * kKeptDims <= kStage);

  T* stages;      ///< [kTileWarps, kStage]: weights [kColumns, kKeptTile], then z [kColumns, kKeptDims]
  T* negative;    ///< [padded]: of all rows
  T* importance;  ///< [padded]
  T* pair;        ///< [2, kKeptTile]: of the block's rows, and of their pairs
  T* positive;    ///< [kKeptTile]

  __device__ KeptWeights(T* shared, int32_t padded)
      : stages(shared),
        negative(stages + kTileWarps * kStage),
        importance(negative + padded),
        pair(importance + padded),
        positive(pair + 2 * kKeptTile) {}
  static size_t bytes(int32_t padded) { return sizeof(T) * (kTileWarps * kStage + 2 * padded + 3 * kKeptTile); }
};

template <class In, class T>
__device__ __forceinline__ void kept_weights(const Anchors<In, T>& a, const ContrastiveSettings<T>& settings,
                                             int64_t views, int32_t first_row, const Kept<T>& kept,
                                             const KeptWeights<T>& to) {
  for_rows(a, settings, views, kept, [&](int32_t row, const ContrastiveRow<T>& out) {
    to.negative[row] = out.negative, to.importance[row] = out.importance;
    const int32_t own = row - first_row, of_pair = a.pair(row) - first_row;
    if (own >= 0 && own < kKeptTile) to.pair[own] = out.pair, to.positive[own] = out.positive;
    if (of_pair >= 0 && of_pair < kKeptTile) to.pair[kKeptTile + of_pair] = out.pair;
  });
  const int32_t row = a.count() + static_cast<int32_t>(threadIdx.x);
  if (row < kept.padded()) to.negative[row] = to.importance[row] = 0;
}

/// A warp's next columns on their way to shared memory: the block's rows of them, and of z the block's part.
template <bool kImportance, class In, class T>
struct KeptStage {
  static constexpr int kColumns = KeptWeights<T>::kColumns;
  static constexpr int kRowPacks = kKeptTile / kVector<T>, kDimPacks = kKeptDims / kVector<In>;  // of a column
  static constexpr int kWeightFetches = kColumns * kRowPacks / 32, kZFetches = kColumns * kDimPacks / 32;
  Pack<T> weighted[kWeightFetches], importance[kImportance ? kWeightFetches : 1];
  Pack<In> z[kZFetches];

  /// The matrix is symmetric: rows of a column are side by side in the column's row.
  __device__ __forceinline__ void fetch(const Anchors<In, T>& a, const Kept<T>& kept, int32_t first_row, int32_t column,
                                        int64_t first_dim) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int64_t from = int64_t{column + lane / kRowPacks} * kept.padded() + first_row + lane % kRowPacks * kVector<T>;
#pragma unroll
    for (int n = 0; n < kWeightFetches; ++n) {
      const int64_t at = from + int64_t{n * (32 / kRowPacks)} * kept.padded();
      weighted[n] = load_pack(kept.weighted + at);
      if constexpr (kImportance) importance[n] = load_pack(kept.importance + at);
    }
#pragma unroll
    for (int n = 0; n < kZFetches; ++n)
      z[n] = fetch_z(a, column + n * (32 / kDimPacks) + lane / kDimPacks, first_dim + lane % kDimPacks * kVector<In>);
  }

  /// dLoss/ds of both anchors together, and z.
  __device__ __forceinline__ void store(const Anchors<In, T>& a, const KeptWeights<T>& rows, int32_t first_row,
                                        int32_t column, T* stage) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int32_t row = first_row + lane % kRowPacks * kVector<T>;
    const Pack<T> negative = load_pack(rows.negative + row), of_importance = load_pack(rows.importance + row);
#pragma unroll
    for (int n = 0; n < kWeightFetches; ++n) {
      const int line = n * (32 / kRowPacks) + lane / kRowPacks;
      const T of_column = rows.negative[column + line];
      Pack<T> weight;
#pragma unroll
      for (int i = 0; i < kVector<T>; ++i) weight.lanes[i] = weighted[n].lanes[i] * (negative.lanes[i] + of_column);
      if constexpr (kImportance)
#pragma unroll
        for (int i = 0; i < kVector<T>; ++i)
          weight.lanes[i] += importance[n].lanes[i] * (of_importance.lanes[i] + rows.importance[column + line]);
      store_pack(stage + line * kKeptTile + lane % kRowPacks * kVector<T>, weight);
    }
#pragma unroll
    for (int n = 0; n < kZFetches; ++n)
      store_as(stage + kColumns * kKeptTile + (n * (32 / kDimPacks) + lane / kDimPacks) * kKeptDims +
                   lane % kDimPacks * kVector<In>,
               z[n]);
  }
};

/// Place of a lane's four rows and four columns of dz in the block's part; as in multiply_group.
__device__ inline int first_row_of(int lane) { return (lane >> 1 & 7) * 4; }
__device__ inline int first_dim_of(int lane) { return (lane & 1) * 4 + (lane >> 4) * 8; }

template <class T>
__device__ __forceinline__ void multiply_stage(const T* stage, T (&sum)[4][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const T* weights = stage + first_row_of(lane);
  const T* z = stage + KeptWeights<T>::kColumns * kKeptTile + first_dim_of(lane);
#pragma unroll 4
  for (int column = 0; column < KeptWeights<T>::kColumns; ++column) {
    Pack<T> x[4 / kVector<T>], y[4 / kVector<T>];
#pragma unroll
    for (int i = 0; i < 4 / kVector<T>; ++i) {
      x[i] = load_pack(weights + column * kKeptTile + i * kVector<T>);
      y[i] = load_pack(z + column * kKeptDims + i * kVector<T>);
    }
#pragma unroll
    for (int r = 0; r < 4; ++r)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        sum[r][c] =
            multiply_add(x[r / kVector<T>].lanes[r % kVector<T>], y[c / kVector<T>].lanes[c % kVector<T>], sum[r][c]);
  }
}

/// A warp's columns, all of them in turn. Weights are ready after the first barrier.
template <bool kImportance, class In, class T>
__device__ __forceinline__ void sum_columns(const Anchors<In, T>& a, const ContrastiveSettings<T>& settings,
                                            int64_t views, int32_t first_row, int64_t first_dim, const Kept<T>& kept,
                                            const KeptWeights<T>& shared, T (&sum)[4][4]) {
  constexpr int kColumns = KeptWeights<T>::kColumns, kStep = kTileWarps * kColumns;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  T* stage = shared.stages + warp * KeptWeights<T>::kStage;
  KeptStage<kImportance, In, T> next;
  int32_t column = warp * kColumns;
  if (column < kept.padded()) next.fetch(a, kept, first_row, column, first_dim);
  kept_weights(a, settings, views, first_row, kept, shared);
  __syncthreads();
  for (; column < kept.padded(); column += kStep) {
    next.store(a, shared, first_row, column, stage);
    __syncwarp();
    if (column + kStep < kept.padded()) next.fetch(a, kept, first_row, column + kStep, first_dim);
    multiply_stage(stage, sum);
    __syncwarp();
  }
}

/// dz of anchors from the sums of the warps, two elements a thread.
template <class In, class T>
__device__ __forceinline__ void write_part(const Anchors<In, T>& a, int64_t views, int32_t first_row, int64_t first_dim,
                                           const Kept<T>& kept, const KeptWeights<T>& shared, const In (&z_of_pair)[2],
                                           In* dz) {
  const int at = static_cast<int>(threadIdx.x), lane = at / 2 % 32;
  const int row_of_block = first_row_of(lane) + at / 64;
  const int32_t row = first_row + row_of_block;
  if (row >= a.count()) return;
  const T pair = shared.pair[row_of_block] + shared.pair[kKeptTile + row_of_block];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t k = first_dim + first_dim_of(lane) + at % 2 * 2 + i;
    if (k >= a.dim) continue;
    double sum = 0;
#pragma unroll
    for (int warp = 0; warp < kTileWarps; ++warp)
      sum += static_cast<double>(shared.stages[warp * KeptWeights<T>::kStage + 2 * at + i]);
    sum += static_cast<double>(pair) * static_cast<double>(z_of_pair[i]);
    sum += through_extras(a, views, static_cast<double>(shared.positive[row_of_block]), kept.extra, row, k);
    dz[row * a.dim + k] = static_cast<In>(sum);
  }
}

/// Block 0 writes the result, the others have 32 anchors and kKeptDims columns of dz each.
template <bool kImportance, class In, class T>
__global__ void __launch_bounds__(kTileThreads, kImportance || sizeof(T) > 4 ? 1 : 2)
    kept_gradient_kernel(Anchors<In, T> a, ContrastiveSettings<double> settings, ContrastiveSettings<T> rounded,
                         int64_t views, Kept<T> kept, double* result, In* dz) {
  if (blockIdx.x == 0) return kept_result(a, settings, views, kept, result);
  const auto block = static_cast<int32_t>(blockIdx.x) - 1;
  const int32_t first_row = block % kept.tiles * kKeptTile;
  const int64_t first_dim = int64_t{block / kept.tiles} * kKeptDims;
  const KeptWeights<T> shared(dynamic_shared<T>(), kept.padded());
  const int at = static_cast<int>(threadIdx.x), warp = at / 32, lane = at % 32;
  In z_of_pair[2] = {};  // of what write_part writes, on its way early
  const int32_t row = first_row + first_row_of(at / 2 % 32) + at / 64;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t k = first_dim + first_dim_of(at / 2 % 32) + at % 2 * 2 + i;
    if (row < a.count() && k < a.dim) z_of_pair[i] = a.z[a.pair(row) * a.dim + k];
  }
  T sum[4][4] = {};
  sum_columns<kImportance>(a, rounded, views, first_row, first_dim, kept, shared, sum);
  __syncthreads();
#pragma unroll
  for (int r = 0; r < 4; ++r) store_four(shared.stages + warp * KeptWeights<T>::kStage + (r * 32 + lane) * 4, sum[r]);
  __syncthreads();
  write_part(a, views, first_row, first_dim, kept, shared, z_of_pair, dz);
}

/// dz of the extra positives, one element a thread.
template <class In, class T>
__global__ void __launch_bounds__(kTileThreads)
    kept_extras_kernel(Anchors<In, T> a, int64_t views, Kept<T> kept, In* dz) {
  const int64_t at = int64_t{a.count()} * a.dim + int64_t{blockIdx.x} * kTileThreads + threadIdx.x;
  if (at >= views * a.batch * a.dim) return;
  dz[at] = static_cast<In>(gradient_of_extra(a, kept.weights, kept.extra, at / a.dim, at % a.dim));
}

}  // namespace dcl::cuda
