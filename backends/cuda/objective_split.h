// The objective of any number of anchors in O(B D) memory: sums over tiles of the similarity matrix, of which every
// block has a split of the columns; rows; the tiles again for the gradient; and what adds the splits' parts up.
// Included by objective.cu only.
#pragma once

#include "cuda/objective_rows.h"

namespace dcl::cuda {

inline constexpr int kChunk = 128;        // columns of the gradient that a block sums up
inline constexpr int kChunkColumns = 16;  // columns of a tile whose embeddings are in shared memory at a time
inline constexpr int kPartsOf = kChunk / kLanes;
inline constexpr int kChunkStride = kChunk + 4;
inline constexpr int kWeightStride = PlainTile::kColumns + 4;
inline constexpr int kChunkValues = kChunk * kChunkColumns / kTileThreads;  // of a thread

/// Sums over negatives of one row, of one split of the columns.
struct RowSums {
  double weighted, importance, cosines, count;
};

inline constexpr int kRowsPerBlock = kTileThreads / kLanes;

/// The tiles [begin, end) of the block's split.
struct Split {
  int32_t begin, end;
  __device__ Split(int32_t tiles, int32_t tiles_per_split)
      : begin(static_cast<int32_t>(blockIdx.y) * tiles_per_split), end(min(begin + tiles_per_split, tiles)) {}
};

/// Grid (row tiles, splits). Row sums of the tiles of one split.
template <class In, class T>
__global__ void __launch_bounds__(kTileThreads, 1)
    sums_kernel(Anchors<In, T> a, int32_t tiles, int32_t tiles_per_split, RowSums* sums) {
  DCL_SHARED(T, operands, [PlainTile::kOperands<T>]);
  const auto first_row = static_cast<int32_t>(blockIdx.x) * PlainTile::kRows;
  const Split split(tiles, tiles_per_split);
  double weighted[PlainTile::kRowsOf] = {}, importance[PlainTile::kRowsOf] = {}, cosines[PlainTile::kRowsOf] = {};
  int32_t count[PlainTile::kRowsOf] = {};
  for (int32_t tile = split.begin; tile < split.end; ++tile) {
    T s[PlainTile::kRowsOf][PlainTile::kColumnsOf];
    similarities(a, first_row, tile * PlainTile::kColumns, operands, s);
#pragma unroll
    for (int r = 0; r < PlainTile::kRowsOf; ++r)
#pragma unroll
      for (int c = 0; c < PlainTile::kColumnsOf; ++c) {
        if (!a.negatives(first_row + PlainTile::row(r), tile * PlainTile::kColumns + PlainTile::column(c))) continue;
        T e = a.exponential(s[r][c]);
        if (a.beta > 0) {
          const T weight = a.importance(s[r][c]);
          e *= weight;
          importance[r] += static_cast<double>(weight);
        }
        weighted[r] += static_cast<double>(e);
        cosines[r] += static_cast<double>(s[r][c]);
        ++count[r];
      }
  }
#pragma unroll
  for (int r = 0; r < PlainTile::kRowsOf; ++r) {
    const RowSums total = {sum_lanes(weighted[r]), sum_lanes(importance[r]), sum_lanes(cosines[r]),
                           sum_lanes(static_cast<double>(count[r]))};
    const int32_t row = first_row + PlainTile::row(r);
    if (tile_lane() == 0 && row < a.count()) sums[int64_t{blockIdx.y} * a.count() + row] = total;
  }
}

/// One row of threads an anchor: from its sums to its loss and gradient weights.
template <class In, class T>
__global__ void __launch_bounds__(kTileThreads)
    rows_kernel(Anchors<In, T> a, ContrastiveSettings<double> settings, int64_t views, int64_t splits,
                const RowSums* sums, RowWeights* weights, double* extra, double* reports) {
  DCL_SHARED(double, of_row, [kRowsPerBlock][kReports]);
  const int slot = static_cast<int>(threadIdx.x) / kLanes;
  const int32_t row = static_cast<int32_t>(blockIdx.x) * kRowsPerBlock + slot;
  const int32_t i = row < a.count() ? row : 0;  // idle threads take part in the shuffles
  const int64_t image = a.image(i), pair = a.pair(i);
  const double scale = settings.inverse_temperature;
  const double pair_cosine = cosine(a.z + i * a.dim, a.z + pair * a.dim, a.dim);
  ContrastiveSums<double> total;
  total.pair = total.positives = std::exp(pair_cosine * scale);
  for (int64_t view = 2; view < views; ++view) {
    const double e = std::exp(cosine(a.z + i * a.dim, a.z + (view * a.batch + image) * a.dim, a.dim) * scale);
    if (tile_lane() == 0 && row < a.count()) extra[(view - 2) * a.count() + i] = e;
    total.positives += e;
  }
  double* const report = of_row[slot];
  if (tile_lane() == 0)
    for (int k = 0; k < kReports; ++k) report[k] = 0;
  if (tile_lane() == 0 && row < a.count()) {
    report[kPositiveCosines] = pair_cosine;
    double cosines = 0;
    for (int64_t split = 0; split < splits; ++split) {
      const RowSums& part = sums[split * a.count() + i];
      total.weighted += part.weighted;
      total.importance += part.importance;
      total.count += part.count;
      cosines += part.cosines;
    }
    report[kNegativeCosines] = cosines;
    report[kNegativeCount] = total.count;
    const ContrastiveRow<double> out = contrastive_row(settings, total);
    weights[i] = weights_of(out);
    report[kLossSum] = out.loss;
    report[kAtFloor] = out.at_floor;
  }
  __syncthreads();
  if (threadIdx.x < kReports) {
    double sum = 0;
    for (int r = 0; r < kRowsPerBlock; ++r) sum += of_row[r][threadIdx.x];
    reports[blockIdx.x * kReports + threadIdx.x] = sum;
  }
}

/// dLoss/ds of an anchor's negatives, in the type of the arithmetic.
template <class T>
struct NegativeWeights {
  T negative = 0, importance = 0;
};
template <class In, class T>
__device__ __forceinline__ NegativeWeights<T> negative_weights(const Anchors<In, T>& a, const RowWeights* weights,
                                                               int32_t i) {
  if (i >= a.count()) return {};
  return {static_cast<T>(weights[i].negative), static_cast<T>(weights[i].importance)};
}

/// dLoss/ds of both anchors together, for one tile: to[row][column].
template <class In, class T>
__device__ __forceinline__ void tile_weights(const Anchors<In, T>& a, const RowWeights* weights, int32_t first_row,
                                             int32_t first_column,
                                             const T (&s)[PlainTile::kRowsOf][PlainTile::kColumnsOf], T* to) {
  NegativeWeights<T> of_row[PlainTile::kRowsOf];
#pragma unroll
  for (int r = 0; r < PlainTile::kRowsOf; ++r) of_row[r] = negative_weights(a, weights, first_row + PlainTile::row(r));
#pragma unroll
  for (int c = 0; c < PlainTile::kColumnsOf; ++c) {
    const int32_t j = first_column + PlainTile::column(c);
    const NegativeWeights<T> of_column = negative_weights(a, weights, j);
#pragma unroll
    for (int r = 0; r < PlainTile::kRowsOf; ++r) {
      T weight = 0;
      if (a.negatives(first_row + PlainTile::row(r), j)) {
        weight = a.exponential(s[r][c]) * (of_row[r].negative + of_column.negative);
        if (a.beta > 0) weight = a.importance(s[r][c]) * (weight + of_row[r].importance + of_column.importance);
      }
      to[PlainTile::row(r) * kWeightStride + PlainTile::column(c)] = weight;
    }
  }
}

/// The thread's share of kChunkColumns embeddings from `first` on; zeros outside.
template <class In, class T>
__device__ __forceinline__ void fetch_chunk(const Anchors<In, T>& a, int32_t first, int64_t first_dim,
                                            T (&values)[kChunkValues]) {
  const int64_t k = first_dim + static_cast<int>(threadIdx.x) % kChunk;
#pragma unroll
  for (int n = 0; n < kChunkValues; ++n) {
    const int32_t j = first + n * (kTileThreads / kChunk) + static_cast<int>(threadIdx.x) / kChunk;
    values[n] = j < a.count() && k < a.dim ? static_cast<T>(a.z[j * a.dim + k]) : T{0};
  }
}

/// Grid (row tiles, splits, chunks of the dimension). What the negatives of one split give to dz.
template <class In, class T>
__global__ void __launch_bounds__(kTileThreads, 1)
    gradient_kernel(Anchors<In, T> a, int32_t tiles, int32_t tiles_per_split, const RowWeights* weights, T* gradients) {
  static_assert(kChunkColumns * kChunkStride <= PlainTile::kOperands<T>);
  DCL_SHARED(T, operands, [PlainTile::kOperands<T>]);
  DCL_SHARED(T, tile_weight, [PlainTile::kRows * kWeightStride]);
  const auto first_row = static_cast<int32_t>(blockIdx.x) * PlainTile::kRows;
  const int64_t first_dim = int64_t{blockIdx.z} * kChunk;
  const Split split(tiles, tiles_per_split);
  T sum[PlainTile::kRowsOf][kPartsOf] = {};
  for (int32_t tile = split.begin; tile < split.end; ++tile) {
    const int32_t first_column = tile * PlainTile::kColumns;
    T s[PlainTile::kRowsOf][PlainTile::kColumnsOf];
    similarities(a, first_row, first_column, operands, s);
    T values[kChunkValues];  // on their way while the last ones are used
    fetch_chunk(a, first_column, first_dim, values);
    tile_weights(a, weights, first_row, first_column, s, tile_weight);
    for (int from = 0; from < PlainTile::kColumns; from += kChunkColumns) {
      __syncthreads();
#pragma unroll
      for (int n = 0; n < kChunkValues; ++n)
        operands[(n * (kTileThreads / kChunk) + static_cast<int>(threadIdx.x) / kChunk) * kChunkStride +
                 static_cast<int>(threadIdx.x) % kChunk] = values[n];
      __syncthreads();
      if (from + kChunkColumns < PlainTile::kColumns)
        fetch_chunk(a, first_column + from + kChunkColumns, first_dim, values);
#pragma unroll 4
      for (int column = 0; column < kChunkColumns; ++column) {
        const T* z = operands + column * kChunkStride;
#pragma unroll
        for (int r = 0; r < PlainTile::kRowsOf; ++r) {
          const T weight = tile_weight[PlainTile::row(r) * kWeightStride + from + column];
#pragma unroll
          for (int part = 0; part < kPartsOf; ++part)
            sum[r][part] = multiply_add(weight, z[part / 4 * 4 * kLanes + 4 * tile_lane() + part % 4], sum[r][part]);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < PlainTile::kRowsOf; ++r)
#pragma unroll
    for (int part = 0; part < kPartsOf; ++part) {
      const int32_t row = first_row + PlainTile::row(r);
      const int64_t k = first_dim + part / 4 * 4 * kLanes + 4 * tile_lane() + part % 4;
      if (row < a.count() && k < a.dim) gradients[(int64_t{blockIdx.y} * a.count() + row) * a.dim + k] = sum[r][part];
    }
}

/// dz of one element: the splits' parts, and what flows through pairs and extra positives.
template <class In, class T>
__device__ double gradient_of(const Anchors<In, T>& a, int64_t views, int64_t splits, const RowWeights* weights,
                              const double* extra, const T* gradients, int64_t row, int64_t k) {
  if (row >= a.count()) return gradient_of_extra(a, weights, extra, row, k);
  const int64_t pair = a.pair(static_cast<int32_t>(row));
  double sum = 0;
  for (int64_t split = 0; split < splits; ++split)
    sum += static_cast<double>(gradients[(split * a.count() + row) * a.dim + k]);
  sum += (weights[row].pair + weights[pair].pair) * static_cast<double>(a.z[pair * a.dim + k]);
  return sum + through_extras(a, views, weights[row].positive, extra, row, k);
}

/// The last block writes the result, the others dz, one element a thread.
template <class In, class T>
__global__ void __launch_bounds__(kTileThreads)
    finish_kernel(Anchors<In, T> a, int64_t views, int64_t splits, const RowWeights* weights, const double* extra,
                  const T* gradients, const double* reports, int64_t row_blocks, double anchor_weight, double* result,
                  In* dz) {
  if (blockIdx.x + 1 == gridDim.x) {
    double report[kReports] = {};
    for (int64_t block = threadIdx.x; block < row_blocks; block += kTileThreads)
      for (int k = 0; k < kReports; ++k) report[k] += reports[block * kReports + k];
    return write_result(report, anchor_weight, result);
  }
  const int64_t at = int64_t{blockIdx.x} * kTileThreads + threadIdx.x;
  if (at >= views * a.batch * a.dim) return;
  dz[at] = static_cast<In>(gradient_of(a, views, splits, weights, extra, gradients, at / a.dim, at % a.dim));
}

}  // namespace dcl::cuda
