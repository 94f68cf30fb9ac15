// Tiles of the similarity matrix of the objective, computed by one block as often as they are needed and never stored.
// Included by objective.cu only.
#pragma once

#include <cmath>

#include "cuda/launch.h"

namespace dcl::cuda {

inline constexpr int kTileThreads = 256;
inline constexpr int kLanes = 16;  // threads side by side

/// A tile of the plain units: as small as fills a device with blocks where anchors are few. A thread has kRowsOf rows
/// and kColumnsOf columns of it, of kDepth columns of z at a time; the next are under way while these are used.
struct PlainTile {
  static constexpr int kRowsOf = 2, kColumnsOf = 4, kDepth = 32;
  static constexpr int kRows = kTileThreads / kLanes * kRowsOf, kColumns = kLanes * kColumnsOf;
  static constexpr int kLines = kTileThreads / kDepth;  // of z that the threads read at once
  static constexpr int kRowValues = kRows / kLines, kValues = kRowValues + kColumns / kLines;  // of a thread

  /// Rows of shared memory are padded so that lanes side by side read different banks, sixteen bytes at a time.
  template <class T>
  static constexpr int kStride = kDepth + 16 / static_cast<int>(sizeof(T));
  template <class T>
  static constexpr int kOperands = (kRows + kColumns) * kStride<T>;

  /// Row and column inside the tile of a thread's element (r, c).
  static __device__ int row(int r) { return static_cast<int>(threadIdx.x) / kLanes * kRowsOf + r; }
  static __device__ int column(int c) { return static_cast<int>(threadIdx.x) % kLanes + kLanes * c; }
};

__device__ __forceinline__ float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double multiply_add(double a, double b, double c) { return std::fma(a, b, c); }

/// The embeddings of the anchors and what an exponent is made of. T: the type of the arithmetic, In: of z.
template <class In, class T>
struct Anchors {
  const In* z;            ///< [views * batch, dim]
  const int32_t* labels;  ///< [batch]; null: no labels
  int32_t batch;
  int64_t dim;
  T inverse_temperature, beta;  ///< beta 0: no importance weights

  __device__ int32_t count() const { return 2 * batch; }
  /// The anchor that is the other view of i, and the image of both.
  __device__ int32_t pair(int32_t i) const { return i < batch ? i + batch : i - batch; }
  __device__ int32_t image(int32_t i) const { return i < batch ? i : i - batch; }
  __device__ bool negatives(int32_t i, int32_t j) const {
    if (i >= count() || j >= count() || i == j || pair(i) == j) return false;
    if (!labels) return true;
    const int32_t label = labels[image(i)];
    return label < 0 || label != labels[image(j)];
  }
  __device__ T exponential(T cosine) const { return std::exp(cosine * inverse_temperature); }
  __device__ T importance(T cosine) const { return std::exp(cosine * inverse_temperature * beta); }
};

__device__ inline int tile_lane() { return static_cast<int>(threadIdx.x) % kLanes; }

/// The thread's share of kDepth columns of z from `begin` on, of the tile's rows and columns; zeros outside.
template <class In, class T>
__device__ __forceinline__ void fetch_operands(const Anchors<In, T>& a, int32_t first_row, int32_t first_column,
                                               int64_t begin, T (&values)[PlainTile::kValues]) {
  const int line = static_cast<int>(threadIdx.x) / PlainTile::kDepth,
            k = static_cast<int>(threadIdx.x) % PlainTile::kDepth;
#pragma unroll
  for (int n = 0; n < PlainTile::kValues; ++n) {
    const bool of_rows = n < PlainTile::kRowValues;
    const int32_t anchor =
        (of_rows ? first_row : first_column - PlainTile::kRowValues * PlainTile::kLines) + n * PlainTile::kLines + line;
    const bool inside = anchor < a.count() && begin + k < a.dim;
    values[n] = inside ? static_cast<T>(a.z[anchor * a.dim + begin + k]) : T{0};
  }
}

/// The cosines of the thread's elements. operands: shared memory of kOperands elements; free before and after.
template <class In, class T>
__device__ void similarities(const Anchors<In, T>& a, int32_t first_row, int32_t first_column, T* operands,
                             T (&s)[PlainTile::kRowsOf][PlainTile::kColumnsOf]) {
  constexpr int kStride = PlainTile::kStride<T>;
  T values[PlainTile::kValues];
  fetch_operands(a, first_row, first_column, 0, values);
#pragma unroll
  for (int r = 0; r < PlainTile::kRowsOf; ++r)
#pragma unroll
    for (int c = 0; c < PlainTile::kColumnsOf; ++c) s[r][c] = T{0};
  for (int64_t begin = 0; begin < a.dim; begin += PlainTile::kDepth) {
    __syncthreads();
#pragma unroll
    for (int n = 0; n < PlainTile::kValues; ++n)
      operands[(n * PlainTile::kLines + static_cast<int>(threadIdx.x) / PlainTile::kDepth) * kStride +
               static_cast<int>(threadIdx.x) % PlainTile::kDepth] = values[n];
    __syncthreads();
    if (begin + PlainTile::kDepth < a.dim)
      fetch_operands(a, first_row, first_column, begin + PlainTile::kDepth, values);
#pragma unroll 2
    for (int k = 0; k < PlainTile::kDepth; k += 4) {
#pragma unroll
      for (int c = 0; c < PlainTile::kColumnsOf; ++c) {
        const T* y = operands + (PlainTile::kRows + PlainTile::column(c)) * kStride + k;
#pragma unroll
        for (int r = 0; r < PlainTile::kRowsOf; ++r) {
          const T* x = operands + PlainTile::row(r) * kStride + k;
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
