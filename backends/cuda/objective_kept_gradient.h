// The second pass over the kept exponentials (objective_kept.h): every block works out the weights of all rows from
// their sums, and then its part of dz over all columns. Included by objective.cu only.
#pragma once

#include "cuda/objective_kept_rows.h"

namespace dcl::cuda {

inline constexpr int kKeptDims = 16;  // columns of z of a block's part of dz
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

template <class In, class T, class Meanwhile>
__device__ __forceinline__ void kept_weights(const Anchors<In, T>& a, const ContrastiveSettings<T>& settings,
                                             int64_t views, int32_t first_row, const Kept<T>& kept,
                                             const Meanwhile& meanwhile, const KeptWeights<T>& to) {
  for_rows(a, settings, views, kept, meanwhile, [&](int32_t row, const ContrastiveRow<T>& out) {
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
  __device__ __forceinline__ void fetch_weights(const Kept<T>& kept, int32_t first_row, int32_t column) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int64_t at = int64_t{column + lane / kRowPacks} * kept.padded() + first_row + lane % kRowPacks * kVector<T>;
    const int64_t step = int64_t{32 / kRowPacks} * kept.padded();
#pragma unroll
    for (int n = 0; n < kWeightFetches; ++n) {
      weighted[n] = load_pack(kept.weighted + at + n * step);
      if constexpr (kImportance) importance[n] = load_pack(kept.importance + at + n * step);
    }
  }
  __device__ __forceinline__ void fetch_z(const Anchors<In, T>& a, int32_t column, int64_t first_dim) {
    constexpr int kLines = 32 / kDimPacks;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int32_t anchor = column + lane / kDimPacks;
    const int64_t k = first_dim + lane % kDimPacks * kVector<In>;
    const In* from = a.z + anchor * a.dim + k;
#pragma unroll
    for (int n = 0; n < kZFetches; ++n)
      z[n] = fetch_if(k < a.dim && anchor + n * kLines < a.count(), from + n * kLines * a.dim);
  }

  /// dLoss/ds of both anchors together, and z.
  __device__ __forceinline__ void store(const KeptWeights<T>& rows, int32_t first_row, int32_t column, T* stage) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int32_t row = first_row + lane % kRowPacks * kVector<T>;
    const Pack<T> negative = load_pack(rows.negative + row), of_importance = load_pack(rows.importance + row);
    T of_column[kWeightFetches], importance_of_column[kWeightFetches];
#pragma unroll
    for (int n = 0; n < kWeightFetches; ++n) {
      const int32_t of = column + n * (32 / kRowPacks) + lane / kRowPacks;
      of_column[n] = rows.negative[of], importance_of_column[n] = rows.importance[of];
    }
#pragma unroll
    for (int n = 0; n < kWeightFetches; ++n) {
      const int line = n * (32 / kRowPacks) + lane / kRowPacks;
      Pack<T> weight;
#pragma unroll
      for (int i = 0; i < kVector<T>; ++i) weight.lanes[i] = weighted[n].lanes[i] * (negative.lanes[i] + of_column[n]);
      if constexpr (kImportance)
#pragma unroll
        for (int i = 0; i < kVector<T>; ++i)
          weight.lanes[i] += importance[n].lanes[i] * (of_importance.lanes[i] + importance_of_column[n]);
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

/// A warp's columns from `column` on, all of them in turn. next: the first of them.
template <bool kImportance, class In, class T>
__device__ __forceinline__ void sum_columns(const Anchors<In, T>& a, int32_t first_row, int64_t first_dim,
                                            int32_t column, const Kept<T>& kept, const KeptWeights<T>& shared,
                                            KeptStage<kImportance, In, T>& next, T (&sum)[4][4]) {
  constexpr int kStep = kTileWarps * KeptWeights<T>::kColumns;
  T* stage = shared.stages + threadIdx.x / 32 * KeptWeights<T>::kStage;
  for (; column < kept.padded(); column += kStep) {
    next.store(shared, first_row, column, stage);
    __syncwarp();
    if (column + kStep < kept.padded()) {
      next.fetch_weights(kept, first_row, column + kStep);
      next.fetch_z(a, column + kStep, first_dim);
    }
    multiply_stage(stage, sum);
    __syncwarp();
  }
}

/// The two elements of dz, side by side, that a thread writes.
struct KeptPlace {
  int row_of_block, dim_of_block;
  __device__ KeptPlace() {
    const int at = static_cast<int>(threadIdx.x), lane = at / 2 % 32;
    row_of_block = first_row_of(lane) + at / 64;
    dim_of_block = first_dim_of(lane) + at % 2 * 2;
  }
};

/// dz of anchors from the sums of the warps.
template <class In, class T>
__device__ __forceinline__ void write_part(const Anchors<In, T>& a, int64_t views, int32_t first_row, int64_t first_dim,
                                           const Kept<T>& kept, const KeptWeights<T>& shared, const In (&z_of_pair)[2],
                                           In* dz) {
  const KeptPlace place;
  const int32_t row = first_row + place.row_of_block;
  const int64_t k = first_dim + place.dim_of_block;
  if (row >= a.count() || k >= a.dim) return;
  const T pair = shared.pair[place.row_of_block] + shared.pair[kKeptTile + place.row_of_block];
  const T* sums = shared.stages + 2 * threadIdx.x;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    double sum = 0;
#pragma unroll
    for (int warp = 0; warp < kTileWarps; ++warp) sum += static_cast<double>(sums[warp * KeptWeights<T>::kStage + i]);
    sum += static_cast<double>(pair) * static_cast<double>(z_of_pair[i]);
    sum += through_extras(a, views, static_cast<double>(shared.positive[place.row_of_block]), kept.extra, row, k + i);
    dz[row * a.dim + k + i] = static_cast<In>(sum);
  }
}

/// Blocks on a multiprocessor that registers are left for; more than one would spill on these architectures.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
inline constexpr int kKeptBlocks = 1;
#else
inline constexpr int kKeptBlocks = 2;
#endif

/// Grid (tiles, 1 + parts of the dimension). Block 0 writes the result, the others beside it nothing; the rest have
/// kKeptTile anchors and kKeptDims columns of dz each.
template <bool kImportance, class In, class T>
__global__ void __launch_bounds__(kTileThreads, kImportance || sizeof(T) > 4 ? 1 : kKeptBlocks)
    kept_gradient_kernel(Anchors<In, T> a, ContrastiveSettings<double> settings, ContrastiveSettings<T> rounded,
                         int64_t views, Kept<T> kept, double* result, In* dz) {
  if (blockIdx.y == 0) {
    if (blockIdx.x == 0) kept_result(a, settings, views, kept, result);
    return;
  }
  const auto first_row = static_cast<int32_t>(blockIdx.x) * kKeptTile;
  const int64_t first_dim = int64_t{blockIdx.y - 1} * kKeptDims;
  const KeptWeights<T> shared(dynamic_shared<T>(), kept.padded());
  const int at = static_cast<int>(threadIdx.x), warp = at / 32, lane = at % 32;
  // Ahead of the weights, whose loads are on their way meanwhile, as much as registers are left for.
  KeptStage<kImportance, In, T> first;
  const int32_t column = warp * KeptWeights<T>::kColumns;
  const bool any = column < kept.padded();
  const auto fetch_first = [&] {
    if (any) first.fetch_weights(kept, first_row, column);
  };
  kept_weights(a, rounded, views, first_row, kept, fetch_first, shared);
  if (any) first.fetch_z(a, column, first_dim);
  In z_of_pair[2] = {};  // of what write_part writes
  const KeptPlace place;
  const int32_t row = first_row + place.row_of_block;
  const int64_t k = first_dim + place.dim_of_block;
  if (row < a.count() && k < a.dim) {
    const In* from = a.z + a.pair(row) * a.dim + k;
    z_of_pair[0] = from[0], z_of_pair[1] = from[1];
  }
  __syncthreads();  // the weights are there
  T sum[4][4] = {};
  sum_columns(a, first_row, first_dim, column, kept, shared, first, sum);
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
