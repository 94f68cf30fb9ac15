// Tiles of the similarity matrix of the objective, kTileRows x kTileColumns, computed by one block as often as they are
// needed and never stored. Included by objective.cu only.
#pragma once

#include <cmath>

#include "cuda/launch.h"

namespace dcl::cuda {

inline constexpr int kTileRows = 32, kTileColumns = 64;
inline constexpr int kTileThreads = 256;
inline constexpr int kTileDepth = 32;  // columns of z that are in shared memory at a time
inline constexpr int kLanes = 16;      // threads side by side; each has kRowsOf rows and kColumnsOf columns of a tile
inline constexpr int kRowsOf = 2, kColumnsOf = 4;
static_assert(kTileThreads / kLanes * kRowsOf == kTileRows && kLanes * kColumnsOf == kTileColumns);

/// Rows of shared memory are padded so that lanes side by side read different banks, four elements at a time.
inline constexpr int kDepthStride = kTileDepth + 4;
inline constexpr int kOperandsSize = (kTileRows + kTileColumns) * kDepthStride;

__device__ __forceinline__ float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double multiply_add(double a, double b, double c) { return std::fma(a, b, c); }

/// The embeddings of the anchors and what an exponent is made of. T: the type of the arithmetic, In: of z.
template <class In, class T>
struct Anchors {
  const In* z;            ///< [views * batch, dim]
  const int32_t* labels;  ///< [batch]; null: no labels
  int64_t batch, dim;
  T inverse_temperature, beta;  ///< beta 0: no importance weights

  __device__ int64_t count() const { return 2 * batch; }
  __device__ bool negatives(int64_t i, int64_t j) const {
    if (i >= count() || j >= count() || i == j || i + batch == j || j + batch == i) return false;
    if (!labels) return true;
    const int32_t label = labels[i < batch ? i : i - batch];
    return label < 0 || label != labels[j < batch ? j : j - batch];
  }
  __device__ T exponential(T cosine) const { return std::exp(cosine * inverse_temperature); }
  __device__ T importance(T cosine) const { return std::exp(cosine * inverse_temperature * beta); }
};

__device__ inline int tile_lane() { return static_cast<int>(threadIdx.x) % kLanes; }
/// Row and column inside the tile of a thread's element (r, c).
__device__ inline int tile_row(int r) { return static_cast<int>(threadIdx.x) / kLanes * kRowsOf + r; }
__device__ inline int tile_column(int c) { return tile_lane() + kLanes * c; }

/// kTileDepth columns from `begin` on of `rows` rows of z from `first` on; zeros outside.
template <class In, class T>
__device__ void load_operand(const Anchors<In, T>& a, int64_t first, int rows, int64_t begin, T* to) {
  for (int at = static_cast<int>(threadIdx.x); at < rows * kTileDepth; at += kTileThreads) {
    const int row = at / kTileDepth, k = at % kTileDepth;
    const bool inside = first + row < a.count() && begin + k < a.dim;
    to[row * kDepthStride + k] = inside ? static_cast<T>(a.z[(first + row) * a.dim + begin + k]) : T{0};
  }
}

/// The cosines of the thread's elements. operands: shared memory of kOperandsSize elements; free before and after.
template <class In, class T>
__device__ void similarities(const Anchors<In, T>& a, int64_t first_row, int64_t first_column, T* operands,
                             T (&s)[kRowsOf][kColumnsOf]) {
  T* rows = operands;
  T* columns = operands + kTileRows * kDepthStride;
#pragma unroll
  for (int r = 0; r < kRowsOf; ++r)
#pragma unroll
    for (int c = 0; c < kColumnsOf; ++c) s[r][c] = T{0};
  for (int64_t begin = 0; begin < a.dim; begin += kTileDepth) {
    __syncthreads();
    load_operand(a, first_row, kTileRows, begin, rows);
    load_operand(a, first_column, kTileColumns, begin, columns);
    __syncthreads();
#pragma unroll 2
    for (int k = 0; k < kTileDepth; k += 4) {
#pragma unroll
      for (int c = 0; c < kColumnsOf; ++c) {
        const T* y = columns + tile_column(c) * kDepthStride + k;
#pragma unroll
        for (int r = 0; r < kRowsOf; ++r) {
          const T* x = rows + tile_row(r) * kDepthStride + k;
#pragma unroll
          for (int i = 0; i < 4; ++i) s[r][c] = multiply_add(x[i], y[i], s[r][c]);
        }
      }
    }
  }
  __syncthreads();
}

/// Sum over the lanes of a row of threads, at lane 0; always in the same order.
__device__ inline double sum_lanes(double value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2)
    value += __shfl_down_sync(0xffffffffu, value, distance, kLanes);
  return value;
}

}  // namespace dcl::cuda
