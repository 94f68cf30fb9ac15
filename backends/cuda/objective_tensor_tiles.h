// Tiles of the similarity matrix of the objective on tensor cores, in f32 by split products (tensor_product.h): the
// rows of a block stay in shared memory, columns come and go. Included by objective.cu only.
#pragma once

#include <cstddef>

#include "core/extent.h"
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
  constexpr int64_t kGroup = TensorTile::kDepth / TensorTile::kGroups;
  return static_cast<int>(min(round_up(a.dim - begin, kGroup), int64_t{TensorTile::kDepth}));
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

/// The weights dLoss/ds of the negatives of Count anchors, under way to the last floats of their lines.
template <int Count>
__device__ __forceinline__ void fetch_weights(const TensorAnchors& a, int32_t first, const RowWeights* weights,
                                              float* to) {
  static_assert(offsetof(RowWeights, importance) == offsetof(RowWeights, negative) + 8 &&
                offsetof(RowWeights, negative) % 16 == 0 && sizeof(RowWeights) % 16 == 0);
  static_assert(Count <= TensorTile::kThreads);
  if (threadIdx.x >= Count) return;
  const int32_t j = first + static_cast<int32_t>(threadIdx.x);
  const bool inside = j < a.count();
  copy_or_clear<16>(to + threadIdx.x * TensorTile::kStride + TensorTile::kDepth, &weights[inside ? j : 0].negative,
                    inside);
}

/// A lane's factors of eight columns of z, as they lie in shared memory.
struct Factors {
  float of_rows[TensorTile::kM][4], of_columns[TensorTile::kN][2];

  /// rows, columns: at the lane's first.
  __device__ __forceinline__ Factors(const float* rows, const float* columns) {
    constexpr int kStride = TensorTile::kStride;
#pragma unroll
    for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) of_rows[m][i] = rows[(m * 16 + i % 2 * 8) * kStride + i / 2 * 4];
#pragma unroll
    for (int n = 0; n < TensorTile::kN; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) of_columns[n][i] = columns[n * 8 * kStride + i * 4];
  }
};

/// What fetch_weights brought for the anchor of a line.
__device__ __forceinline__ NegativeWeights<float> weights_of_line(const float* lines, int line) {
  const auto* weights = reinterpret_cast<const double*>(lines + line * TensorTile::kStride + TensorTile::kDepth);
  return {static_cast<float>(weights[0]), static_cast<float>(weights[1])};
}

/// s += rows columns^T over `depth` columns of z, a multiple of eight. The next factors are read while products are
/// made.
__device__ __forceinline__ void add_similarities(const float* rows, const float* columns, int depth, TileValues& s) {
  const float* x = rows + TensorTile::row(0, 0) * TensorTile::kStride + TensorTile::t();
  const float* y = columns + TensorTile::g() * TensorTile::kStride + TensorTile::t();
  Factors next(x, y);
#pragma unroll 4
  for (int k = 0; k < depth; k += 8) {
    FactorsOfA of_rows[TensorTile::kM];
    FactorsOfB of_columns[TensorTile::kN];
#pragma unroll
    for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) of_rows[m].set(i, next.of_rows[m][i]);
#pragma unroll
    for (int n = 0; n < TensorTile::kN; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) of_columns[n].set(i, next.of_columns[n][i]);
    const int ahead = k + 8 < depth ? k + 8 : k;
    next = Factors(x + ahead, y + ahead);
    split_products(s, of_rows, of_columns);
  }
}

/// use(first column, cosines, the rows' and the columns' embeddings) for the tiles from `begin` to `end`. Of z's
/// columns the tile's last part in shared memory is `part`. weights: null for none.
template <bool Vectors, class Use>
__device__ __forceinline__ void for_tiles(const TensorAnchors& a, int32_t begin, int32_t end, int part,
                                          const RowWeights* weights, Use use) {
  constexpr int kColumnFloats = TensorTile::kColumns * TensorTile::kStride;
  auto* rows = dynamic_shared<float>();
  float* columns = rows + TensorTile::kRows * TensorTile::kStride;  // two tiles in turn
  const auto first_row = static_cast<int32_t>(blockIdx.x) * TensorTile::kRows;
  const int parts = static_cast<int>(ceil_div(a.dim, TensorTile::kDepth));
  const auto first_of = [&](int i) { return int64_t{(part + 1 + i) % parts} * TensorTile::kDepth; };
  const auto fetch_columns = [&](int32_t tile, int i, float* to) {
    fetch_anchors<Vectors, TensorTile::kColumns>(a, tile * TensorTile::kColumns, first_of(i), to);
    if (weights && i + 1 == parts) fetch_weights<TensorTile::kColumns>(a, tile * TensorTile::kColumns, weights, to);
  };
  fetch_anchors<Vectors, TensorTile::kRows>(a, first_row, first_of(0), rows);
  if (weights) fetch_weights<TensorTile::kRows>(a, first_row, weights, rows);
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
      if (tile_ends) use(tile * TensorTile::kColumns, s, rows, columns + now * kColumnFloats);
      __syncthreads();
      if (parts == 1 || all_ends) continue;
      fetch_anchors<Vectors, TensorTile::kRows>(a, first_row, first_of(next), rows);
      end_copies();
    }
  }
}

}  // namespace dcl::cuda
