// The two passes of objective_split.h on tensor cores. The weights of the gradient go from the registers that a tile's
// cosines were computed in to the second product. Included by objective.cu only.
#pragma once

#include "cuda/objective_tensor_tiles.h"

namespace dcl::cuda {

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

/// Sum over the four lanes of a row, at each of them.
__device__ __forceinline__ double sum_quad(double value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
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
  for_tiles<Vectors>(a, split.begin, split.end, 0, nullptr,
                     [&](int32_t first_column, TileValues& s, const float*, const float*) {
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
                                                 const float* rows, const float* columns, TileValues& s) {
  NegativeWeights<float> of_row[TensorTile::kM][2];
#pragma unroll
  for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) of_row[m][h] = weights_of_line(rows, TensorTile::row(m, h));
#pragma unroll
  for (int n = 0; n < TensorTile::kN; ++n)
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const NegativeWeights<float> of_column = weights_of_line(columns, TensorTile::column(n, j));
#pragma unroll
      for (int m = 0; m < TensorTile::kM; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          float& value = s[m][n][2 * h + j];
          const float cosine = value;
          value = a.exponential(cosine) * (of_row[m][h].negative + of_column.negative);
          if (a.beta > 0) value = a.importance(cosine) * (value + of_row[m][h].importance + of_column.importance);
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
  const Split split(tiles, tiles_per_split);
  for_tiles<Vectors>(a, split.begin, split.end, static_cast<int>(blockIdx.z), weights,
                     [&](int32_t first_column, TileValues& s, const float* rows, const float* columns) {
                       with_negatives(a, first_column,
                                      [&](auto negatives) { weights_in_place(a, negatives, rows, columns, s); });
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
