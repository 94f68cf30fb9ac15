// The two passes of objective_split.h over the tiles of the similarity matrix on tensor cores, in f32 by split products
// (tensor_product.h): the rows of a block stay in shared memory, columns come and go, and the weights of the gradient
// go from the registers they were computed in to the second product. Included by objective.cu only.
#pragma once

#include <cstddef>

#include "cuda/objective_split.h"
#include "cuda/tensor_product.h"

namespace dcl::cuda {

/// A tile of a block: 32 rows a warp, of kDepth columns of z at a time. What is said of a thread below is said of lane
/// 4 g + t, whose elements [m][n][2 h + j] of a tile are row 16 m + 8 h + g of its warp and column 8 n + 2 t + j.
struct TensorTile {
  static constexpr int kThreads = 128, kRows = 128, kColumns = 32, kDepth = 128;
  static constexpr int kBlocks = 2;                  ///< on a multiprocessor
  static constexpr int kM = 2, kN = 4;               ///< products of a warp: rows / 16, columns / 8
  static constexpr int kGroups = kDepth / (8 * kN);  ///< of columns of the gradient
  /// Floats from anchor to anchor: lanes of a product read different banks, and the last four hold an anchor's weights.
  static constexpr int kStride = kDepth + 4;
  static constexpr size_t kBytes = (kRows + 2 * kColumns) * kStride * sizeof(float);

  static __device__ int g() { return static_cast<int>(threadIdx.x) % 32 / 4; }
  static __device__ int t() { return static_cast<int>(threadIdx.x) % 4; }
  static __device__ int row(int m, int h) { return static_cast<int>(threadIdx.x) / 32 * 32 + m * 16 + h * 8 + g(); }
  static __device__ int column(int n, int j) { return n * 8 + t() * 2 + j; }
};
using TensorAnchors = Anchors<float, float>;
using TileValues = float[TensorTile::kM][TensorTile::kN][4];

/// Columns of z that a part of them from `begin` on takes in shared memory: the last with zeros up to a whole group.
__device__ __forceinline__ int padded_depth(const TensorAnchors& a, int64_t begin) {
  const int64_t whole = (a.dim - begin + 31) / 32 * 32;
  return static_cast<int>(min(whole, int64_t{TensorTile::kDepth}));
}

/// The embeddings of Count anchors from `first` on, kDepth columns from `begin` on, under way; zeros outside.
/// Vectors: rows of z can be read by sixteen bytes.
template <bool Vectors, int Count>
__device__ __forceinline__ void fetch_anchors(const TensorAnchors& a, int32_t first, int64_t begin, float* to) {
  constexpr int kAtOnce = Vectors ? 4 : 1, kAcross = TensorTile::kDepth / kAtOnce;
  constexpr int kLines = TensorTile::kThreads / kAcross;
  const int k = static_cast<int>(threadIdx.x) % kAcross * kAtOnce, line = static_cast<int>(threadIdx.x) / kAcross;
  if (k >= padded_depth(a, begin)) return;
#pragma unroll 8
  for (int n = 0; n < Count; n += kLines) {
    const int32_t anchor = first + n + line;
    const bool inside = anchor < a.count() && begin + k < a.dim;
    copy_or_clear<4 * kAtOnce>(to + (n + line) * TensorTile::kStride + k,
                               a.z + (inside ? anchor * a.dim + begin + k : 0), inside);
  }
}

/// The weights dLoss/ds of the columns' negatives, under way to the last floats of their rows.
__device__ __forceinline__ void fetch_weights(const TensorAnchors& a, int32_t first, const RowWeights* weights,
                                              float* to) {
  static_assert(offsetof(RowWeights, importance) == offsetof(RowWeights, negative) + 8 &&
                offsetof(RowWeights, negative) % 16 == 0 && sizeof(RowWeights) % 16 == 0);
  if (threadIdx.x >= TensorTile::kColumns) return;
  const int32_t j = first + static_cast<int32_t>(threadIdx.x);
  const bool inside = j < a.count();
  copy_or_clear<16>(to + threadIdx.x * TensorTile::kStride + TensorTile::kDepth, &weights[inside ? j : 0].negative,
                    inside);
}

/// s += rows columns^T over `depth` columns of z, a multiple of eight.
__device__ __forceinline__ void add_similarities(const float* rows, const float* columns, int depth, TileValues& s) {
  constexpr int kStride = TensorTile::kStride;
  const float* x = rows + TensorTile::row(0, 0) * kStride + TensorTile::t();
  const float* y = columns + TensorTile::g() * kStride + TensorTile::t();
#pragma unroll 2
  for (int k = 0; k < depth; k += 8) {
    FactorsOfA of_rows[TensorTile::kM];
    FactorsOfB of_columns[TensorTile::kN];
#pragma unroll
    for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) of_rows[m].set(i, x[(m * 16 + i % 2 * 8) * kStride + k + i / 2 * 4]);
#pragma unroll
    for (int n = 0; n < TensorTile::kN; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) of_columns[n].set(i, y[n * 8 * kStride + k + i * 4]);
    split_products(s, of_rows, of_columns);
  }
}

/// use(first column, cosines, the columns' embeddings) for the tiles from `begin` to `end`. Of z's columns the tile's
/// last part in shared memory is `part`. weights: of the columns, or null.
template <bool Vectors, class Use>
__device__ __forceinline__ void for_tiles(const TensorAnchors& a, int32_t begin, int32_t end, int part,
                                          const RowWeights* weights, Use use) {
  constexpr int kColumnFloats = TensorTile::kColumns * TensorTile::kStride;
  auto* rows = dynamic_shared<float>();
  float* columns = rows + TensorTile::kRows * TensorTile::kStride;  // two tiles in turn
  const auto first_row = static_cast<int32_t>(blockIdx.x) * TensorTile::kRows;
  const int parts = static_cast<int>((a.dim + TensorTile::kDepth - 1) / TensorTile::kDepth);
  const auto first_of = [&](int i) { return int64_t{(part + 1 + i) % parts} * TensorTile::kDepth; };
  const auto fetch_columns = [&](int32_t tile, int i, float* to) {
    fetch_anchors<Vectors, TensorTile::kColumns>(a, tile * TensorTile::kColumns, first_of(i), to);
    if (weights && i + 1 == parts) fetch_weights(a, tile * TensorTile::kColumns, weights, to);
  };
  fetch_anchors<Vectors, TensorTile::kRows>(a, first_row, first_of(0), rows);
  fetch_columns(begin, 0, columns);
  end_copies();
  int now = 0;
  for (int32_t tile = begin; tile < end; ++tile) {
    TileValues s = {};
    for (int i = 0; i < parts; ++i, now ^= 1) {
      const bool tile_ends = i + 1 == parts, all_ends = tile_ends && tile + 1 == end;
      const int next = tile_ends ? 0 : i + 1;
      if (!all_ends) fetch_columns(tile + tile_ends, next, columns + (now ^ 1) * kColumnFloats);
      end_copies();
      await_copies<1>();
      __syncthreads();
      add_similarities(rows, columns + now * kColumnFloats, padded_depth(a, first_of(i)), s);
      if (tile_ends) use(tile * TensorTile::kColumns, s, columns + now * kColumnFloats);
      __syncthreads();
      if (parts == 1 || all_ends) continue;
      fetch_anchors<Vectors, TensorTile::kRows>(a, first_row, first_of(next), rows);
      end_copies();
    }
  }
}

/// Which elements of a tile are negatives, asked by their thread. AllOfThem: known without a look.
template <bool AllOfThem>
struct NegativesOfTile {
  const TensorAnchors& a;
  int32_t first_column;

  __device__ bool contain(int m, int n, int h, int j) const {
    return AllOfThem || a.negatives(static_cast<int32_t>(blockIdx.x) * TensorTile::kRows + TensorTile::row(m, h),
                                    first_column + TensorTile::column(n, j));
  }
};

/// use(negatives): of the tile. Almost all tiles are away from the diagonals, and have nothing else.
template <class Use>
__device__ __forceinline__ void with_negatives(const TensorAnchors& a, int32_t first_column, Use use) {
  const auto first = static_cast<int32_t>(blockIdx.x) * TensorTile::kRows;
  const auto apart = [&](int32_t row) {
    return row + TensorTile::kRows <= first_column || first_column + TensorTile::kColumns <= row;
  };
  if (!a.labels && first + TensorTile::kRows <= a.count() && first_column + TensorTile::kColumns <= a.count() &&
      apart(first) && apart(first - a.batch) && apart(first + a.batch))
    return use(NegativesOfTile<true>{a, first_column});
  use(NegativesOfTile<false>{a, first_column});
}

/// The tiles [begin, end) of the block's split.
struct Split {
  int32_t begin, end;
  __device__ Split(int32_t tiles, int32_t tiles_per_split)
      : begin(static_cast<int32_t>(blockIdx.y) * tiles_per_split), end(min(begin + tiles_per_split, tiles)) {}
};

/// Sum over the four lanes of a row, at each of them.
__device__ __forceinline__ double sum_quad(double value) {
  value += __shfl_xor_sync(0xffffffffu, value, 1);
  return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

/// A thread's sums over the negatives of its rows. Sums over a tile are f32, sums of those are double.
struct ThreadSums {
  double weighted[TensorTile::kM][2] = {}, importance[TensorTile::kM][2] = {}, cosines[TensorTile::kM][2] = {};
  int32_t count[TensorTile::kM][2] = {};

  template <bool All>
  __device__ __forceinline__ void add(const TensorAnchors& a, NegativesOfTile<All> negatives, const TileValues& s) {
#pragma unroll
    for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float of_e = 0, of_weights = 0, of_cosines = 0;
#pragma unroll
        for (int n = 0; n < TensorTile::kN; ++n)
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            if (!negatives.contain(m, n, h, j)) continue;
            const float cosine = s[m][n][2 * h + j];
            float e = a.exponential(cosine);
            if (a.beta > 0) {
              const float weight = a.importance(cosine);
              e *= weight;
              of_weights += weight;
            }
            of_e += e;
            of_cosines += cosine;
            ++count[m][h];
          }
        weighted[m][h] += static_cast<double>(of_e);
        cosines[m][h] += static_cast<double>(of_cosines);
        if (a.beta > 0) importance[m][h] += static_cast<double>(of_weights);
      }
  }
};

/// As sums_kernel.
template <bool Vectors>
__global__ void __launch_bounds__(TensorTile::kThreads, TensorTile::kBlocks)
    tensor_sums_kernel(TensorAnchors a, int32_t tiles, int32_t tiles_per_split, RowSums* sums) {
  ThreadSums of_thread;
  const Split split(tiles, tiles_per_split);
  for_tiles<Vectors>(a, split.begin, split.end, 0, nullptr, [&](int32_t first_column, TileValues& s, const float*) {
    with_negatives(a, first_column, [&](auto negatives) { of_thread.add(a, negatives, s); });
  });
#pragma unroll
  for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const RowSums total = {sum_quad(of_thread.weighted[m][h]), sum_quad(of_thread.importance[m][h]),
                             sum_quad(of_thread.cosines[m][h]), sum_quad(static_cast<double>(of_thread.count[m][h]))};
      const int32_t row = static_cast<int32_t>(blockIdx.x) * TensorTile::kRows + TensorTile::row(m, h);
      if (TensorTile::t() == 0 && row < a.count()) sums[int64_t{blockIdx.y} * a.count() + row] = total;
    }
}

/// Cosines to dLoss/ds of both anchors together; 0 for what is no negative.
template <bool All>
__device__ __forceinline__ void weights_in_place(const TensorAnchors& a, NegativesOfTile<All> negatives,
                                                 const float* columns,
                                                 const NegativeWeights<float> (&of_row)[TensorTile::kM][2],
                                                 TileValues& s) {
#pragma unroll
  for (int n = 0; n < TensorTile::kN; ++n)
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const auto* of_column = reinterpret_cast<const double*>(columns + TensorTile::column(n, j) * TensorTile::kStride +
                                                              TensorTile::kDepth);
      const auto negative = static_cast<float>(of_column[0]), importance = static_cast<float>(of_column[1]);
#pragma unroll
      for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          float& value = s[m][n][2 * h + j];
          const float cosine = value;
          value = a.exponential(cosine) * (of_row[m][h].negative + negative);
          if (a.beta > 0) value = a.importance(cosine) * (value + of_row[m][h].importance + importance);
          if (!negatives.contain(m, n, h, j)) value = 0;
        }
    }
}

/// sum += weights columns, for `depth` of kDepth columns of z. The products number the tile's columns anew: 2 t and
/// 2 t + 1 of eight are their t and t + 4, so that a lane has its factors of a already.
__device__ __forceinline__ void add_gradients(const TileValues& weights, const float* columns, int depth,
                                              float (&sum)[TensorTile::kGroups][TensorTile::kM][TensorTile::kN][4]) {
  constexpr int kStride = TensorTile::kStride;
#pragma unroll
  for (int n = 0; n < TensorTile::kN; ++n) {
    FactorsOfA of_weights[TensorTile::kM];
#pragma unroll
    for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) of_weights[m].set(i, weights[m][n][i % 2 * 2 + i / 2]);
    const float* z = columns + TensorTile::column(n, 0) * kStride + TensorTile::g();
#pragma unroll
    for (int group = 0; group < TensorTile::kGroups; ++group) {
      if (group * 8 * TensorTile::kN >= depth) break;
      FactorsOfB of_columns[TensorTile::kN];
#pragma unroll
      for (int d = 0; d < TensorTile::kN; ++d)
#pragma unroll
        for (int i = 0; i < 2; ++i) of_columns[d].set(i, z[i * kStride + (group * TensorTile::kN + d) * 8]);
      split_products(sum[group], of_weights, of_columns);
    }
  }
}

/// As gradient_kernel, of which a block makes kDepth columns of z.
template <bool Vectors>
__global__ void __launch_bounds__(TensorTile::kThreads, TensorTile::kBlocks)
    tensor_gradient_kernel(TensorAnchors a, int32_t tiles, int32_t tiles_per_split, const RowWeights* weights,
                           float* gradients) {
  const int64_t first_dim = int64_t{blockIdx.z} * TensorTile::kDepth;
  const auto first_row = static_cast<int32_t>(blockIdx.x) * TensorTile::kRows;
  float sum[TensorTile::kGroups][TensorTile::kM][TensorTile::kN][4] = {};
  NegativeWeights<float> of_row[TensorTile::kM][2];
#pragma unroll
  for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) of_row[m][h] = negative_weights(a, weights, first_row + TensorTile::row(m, h));
  const Split split(tiles, tiles_per_split);
  for_tiles<Vectors>(a, split.begin, split.end, static_cast<int>(blockIdx.z), weights,
                     [&](int32_t first_column, TileValues& s, const float* columns) {
                       with_negatives(a, first_column,
                                      [&](auto negatives) { weights_in_place(a, negatives, columns, of_row, s); });
                       add_gradients(s, columns, padded_depth(a, first_dim), sum);
                     });
#pragma unroll
  for (int group = 0; group < TensorTile::kGroups; ++group)
#pragma unroll
    for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
      for (int n = 0; n < TensorTile::kN; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int32_t row = first_row + TensorTile::row(m, i / 2);
          const int64_t k = first_dim + group * 8 * TensorTile::kN + TensorTile::column(n, i % 2);
          if (row < a.count() && k < a.dim)
            gradients[(int64_t{blockIdx.y} * a.count() + row) * a.dim + k] = sum[group][m][n][i];
        }
}

}  // namespace dcl::cuda
