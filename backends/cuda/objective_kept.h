// The objective of few anchors, bound by latency: one pass over the similarity matrix keeps the exponentials of all
// negatives, so that the gradient is one more pass without a sum over blocks. Both passes bring what a block reads into
// flight at once. This is the first one. Included by objective.cu only.
#pragma once

#include "cuda/objective_rows.h"
#include "cuda/vector.h"

namespace dcl::cuda {

inline constexpr int kKeptTile = 32;                // anchors
inline constexpr int64_t kKeptBytes = 4096;         // of a row of the matrix at most
inline constexpr int64_t kKeptAnchorsOfColumn = 8;  // at most, for a column of z: memory stays in proportion to z
inline constexpr int64_t kKeptMostColumns = 16384;  // of z: grids have an end
inline constexpr int kKeptGroups = 4, kKeptOf = 4;  // parts of the depth; rows and columns of a thread
inline constexpr int kTileWarps = kTileThreads / 32;

/// What is summed over the columns of a tile.
enum KeptSum { kWeighted, kImportance, kCosines, kCount, kKeptSums };

/// Of an image's first two views.
struct Pair {
  double cosine, exponential;
};

/// The workspace. Anchors are padded to whole tiles; weighted, importance and sums of the padding are 0.
template <class T>
struct Kept {
  int32_t tiles;
  T* weighted;          ///< [padded, padded]: e^x, or e^((1 + beta) x); 0 where not negatives
  T* importance;        ///< likewise e^(beta x), with beta > 0
  T* sums;              ///< [kKeptSums, tiles, padded]
  Pair* pairs;          ///< [batch]
  double* extra;        ///< [views - 2, anchors]: e^x of the extra positives
  RowWeights* weights;  ///< [anchors], with extra positives

  Kept(const ObjectiveDesc& d, Carver& memory) : tiles(static_cast<int32_t>(ceil_div(2 * d.batch, kKeptTile))) {
    const int64_t square = int64_t{padded()} * padded();
    weighted = memory.take<T>(square);
    importance = memory.take<T>(has_importance(d) ? square : 0);
    sums = memory.take<T>(int64_t{kKeptSums} * tiles * padded());
    pairs = memory.take<Pair>(d.batch);
    extra = memory.take<double>((d.views - 2) * 2 * d.batch);
    weights = memory.take<RowWeights>(d.views > 2 ? 2 * d.batch : 0);
  }
  /// Whether the matrix is small enough, and rows of z can be read by sixteen bytes.
  static bool fits(const ObjectiveDesc& d, const void* z) {
    return d.dim <= kKeptMostColumns && 2 * d.batch <= kKeptBytes / static_cast<int64_t>(sizeof(T)) &&
           2 * d.batch <= kKeptAnchorsOfColumn * d.dim && static_cast<size_t>(d.dim) * size_of(d.dtype) % 16 == 0 &&
           reinterpret_cast<uintptr_t>(z) % 16 == 0;
  }
  DCL_HD int32_t padded() const { return tiles * kKeptTile; }
  DCL_HD int32_t apart() const { return tiles / 2 + 1; }
};

/// Sixteen bytes.
template <class T>
struct alignas(16) Pack {
  T lanes[kVector<T>];
};
template <class T>
__device__ __forceinline__ Pack<T> load_pack(const T* from) {
  vector_access(from, sizeof(Pack<T>));
  return *reinterpret_cast<const Pack<T>*>(from);
}
template <class T>
__device__ __forceinline__ void store_pack(T* to, const Pack<T>& pack) {
  vector_access(to, sizeof pack);
  *reinterpret_cast<Pack<T>*>(to) = pack;
}
/// In the type of the arithmetic.
template <class In, class T>
__device__ __forceinline__ void store_as(T* to, const Pack<In>& pack) {
#pragma unroll
  for (int first = 0; first < kVector<In>; first += kVector<T>) {
    Pack<T> part;
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) part.lanes[i] = static_cast<T>(pack.lanes[first + i]);
    store_pack(to + first, part);
  }
}
template <class T>
__device__ __forceinline__ void store_four(T* to, const T (&values)[4]) {
#pragma unroll
  for (int first = 0; first < 4; first += kVector<T>) {
    Pack<T> part;
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) part.lanes[i] = values[first + i];
    store_pack(to + first, part);
  }
}

template <class T>
__device__ __forceinline__ Pack<T> fetch_if(bool inside, const T* from) {
  return inside ? load_pack(from) : Pack<T>{};
}

/// The operands of a tile in shared memory, 512 bytes of every row and column at a time; rows are padded so that eight
/// of them side by side read different banks.
template <class In, class T>
struct KeptOperands {
  static constexpr int kDepth = 512 / sizeof(T), kStride = kDepth + kVector<T>;
  static constexpr int kGroupDepth = kDepth / kKeptGroups;
  static constexpr int kPacks = kDepth / kVector<In>;  // of a row
  static constexpr int kFetches = 2 * kKeptTile * kPacks / kTileThreads;
  static constexpr int kElements = 2 * kKeptTile * kStride;
  /// Of the groups' sums, which take the operands' place; f32: a warp's four rows are in different banks.
  static constexpr int kSumStride = kKeptTile + (sizeof(T) == 4 ? 8 : 0);
  static_assert(kKeptGroups * kKeptTile * kSumStride <= kElements);

  /// Columns of z from `begin` on, all of them in flight at once.
  static __device__ __forceinline__ void bring(const Anchors<In, T>& a, int32_t first_row, int32_t first_column,
                                               int64_t begin, T* operands) {
    constexpr int kLines = kTileThreads / kPacks, kHalf = kFetches / 2;  // read at once; of the rows
    const int line = static_cast<int>(threadIdx.x) / kPacks;
    const int64_t k = begin + static_cast<int>(threadIdx.x) % kPacks * kVector<In>;
    const In* of_rows = a.z + (first_row + line) * a.dim + k;
    const In* of_columns = a.z + (first_column + line) * a.dim + k;
    Pack<In> packs[kFetches];
#pragma unroll
    for (int n = 0; n < kHalf; ++n) {
      const bool inside = k < a.dim;
      packs[n] = fetch_if(inside && first_row + line + n * kLines < a.count(), of_rows + n * kLines * a.dim);
      packs[kHalf + n] =
          fetch_if(inside && first_column + line + n * kLines < a.count(), of_columns + n * kLines * a.dim);
    }
#pragma unroll
    for (int n = 0; n < kFetches; ++n) {
      const int at = n * kTileThreads + static_cast<int>(threadIdx.x);
      store_as(operands + at / kPacks * kStride + at % kPacks * kVector<In>, packs[n]);
    }
  }
};

/// Adds the products of one group's depth. Lanes side by side share an address in pairs (i, i ^ 1) or (i, i ^ 2), as
/// the hardware needs to serve sixteen lanes at once.
template <class T>
__device__ __forceinline__ void multiply_group(const T* rows, const T* columns, int depth, int row_step,
                                               int column_step, T (&sum)[kKeptOf][kKeptOf]) {
#pragma unroll 2
  for (int k = 0; k < depth; k += kVector<T>) {
    Pack<T> x[kKeptOf], y[kKeptOf];
#pragma unroll
    for (int i = 0; i < kKeptOf; ++i) {
      x[i] = load_pack(rows + i * row_step + k);
      y[i] = load_pack(columns + i * column_step + k);
    }
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i)
#pragma unroll
      for (int r = 0; r < kKeptOf; ++r)
#pragma unroll
        for (int c = 0; c < kKeptOf; ++c) sum[r][c] = multiply_add(x[r].lanes[i], y[c].lanes[i], sum[r][c]);
  }
}

/// Cosines of a tile: of row threadIdx.x / 8, columns 4 (threadIdx.x % 8) and on. Every warp has sixteen rows, all
/// columns and a part of the depth.
template <class In, class T>
__device__ __forceinline__ void kept_cosines(const Anchors<In, T>& a, int32_t first_row, int32_t first_column,
                                             T* operands, T (&s)[4]) {
  using Operands = KeptOperands<In, T>;
  constexpr int kStride = Operands::kStride, kSumStride = Operands::kSumStride;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int group = warp / 2, row = warp % 2 * 16 + (lane & 1) + (lane >> 4) * 2, column = lane >> 1 & 7;
  T sum[kKeptOf][kKeptOf] = {};
  for (int64_t begin = 0; begin < a.dim; begin += Operands::kDepth) {
    Operands::bring(a, first_row, first_column, begin, operands);
    __syncthreads();
    const T* from = operands + group * Operands::kGroupDepth;
    multiply_group(from + row * kStride, from + (kKeptTile + column) * kStride, Operands::kGroupDepth, 4 * kStride,
                   8 * kStride, sum);
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < kKeptOf; ++r)
#pragma unroll
    for (int c = 0; c < kKeptOf; ++c)
      operands[(group * kKeptTile + row + 4 * r) * kSumStride + column + 8 * c] = sum[r][c];
  __syncthreads();
#pragma unroll
  for (int c = 0; c < 4; ++c) s[c] = T{0};
#pragma unroll
  for (int g = 0; g < kKeptGroups; ++g) {
    const T* from = operands + (g * kKeptTile + static_cast<int>(threadIdx.x) / 8) * kSumStride + threadIdx.x % 8 * 4;
#pragma unroll
    for (int first = 0; first < 4; first += kVector<T>) {
      const Pack<T> part = load_pack(from + first);
#pragma unroll
      for (int i = 0; i < kVector<T>; ++i) s[first + i] += part.lanes[i];
    }
  }
}

/// Keeps the thread's elements of a tile, and what the tile adds to the sums of its rows.
template <class In, class T>
__device__ __forceinline__ void keep_tile(const Anchors<In, T>& a, int32_t row_tile, int32_t column_tile,
                                          const T (&s)[4], const Kept<T>& kept) {
  const int32_t i = row_tile * kKeptTile + static_cast<int32_t>(threadIdx.x / 8);
  const int32_t first = column_tile * kKeptTile + static_cast<int32_t>(threadIdx.x % 8 * 4);
  T weighted[4] = {}, importance[4] = {}, sums[kKeptSums] = {};
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    const bool negatives = a.negatives(i, first + c);
    T e = a.exponential(s[c]);
    if (a.beta > 0) {
      importance[c] = negatives ? a.importance(s[c]) : T{0};
      e *= importance[c];
    }
    weighted[c] = negatives ? e : T{0};
    sums[kWeighted] += weighted[c];
    sums[kImportance] += importance[c];
    sums[kCosines] += negatives ? s[c] : T{0};
    sums[kCount] += negatives ? T{1} : T{0};
  }
  const int64_t at = int64_t{i} * kept.padded() + first;
  store_four(kept.weighted + at, weighted);
  if (a.beta > 0) store_four(kept.importance + at, importance);
#pragma unroll
  for (int k = 0; k < kKeptSums; ++k) {
#pragma unroll
    for (int distance = 4; distance > 0; distance /= 2) sums[k] += __shfl_down_sync(kAllLanes, sums[k], distance, 8);
    if (threadIdx.x % 8 == 0) kept.sums[(int64_t{k} * kept.tiles + column_tile) * kept.padded() + i] = sums[k];
  }
}

/// One row of threads a positive: the pairs of the images, then the extra positives of the anchors.
template <class In, class T>
__device__ void keep_positives(const Anchors<In, T>& a, int64_t views, double scale, int64_t block,
                               const Kept<T>& kept) {
  const int64_t at = block * (kTileThreads / kLanes) + static_cast<int64_t>(threadIdx.x) / kLanes;
  const bool inside = at < a.batch + (views - 2) * a.count();
  int64_t anchor = 0, other = 0;  // idle threads take part in the shuffles
  if (at < a.batch) {
    anchor = at, other = at + a.batch;
  } else if (inside) {
    const int64_t extra = at - a.batch;
    anchor = extra % a.count();
    other = (2 + extra / a.count()) * a.batch + a.image(static_cast<int32_t>(anchor));
  }
  const double s = cosine(a.z + anchor * a.dim, a.z + other * a.dim, a.dim);
  if (tile_lane() > 0 || !inside) return;
  const double e = std::exp(s * scale);
  if (at < a.batch)
    kept.pairs[at] = {s, e};
  else
    kept.extra[at - a.batch] = e;
}

/// Grid (tiles, apart() and more): a block has the tile that many columns of tiles beside the diagonal, around the
/// edge, and its mirror image. Blocks beyond apart() have positives.
template <class In, class T>
__global__ void __launch_bounds__(kTileThreads, 2)
    keep_kernel(Anchors<In, T> a, int64_t views, double scale, Kept<T> kept) {
  using Operands = KeptOperands<In, T>;
  DCL_SHARED(T, operands, [Operands::kElements]);
  DCL_SHARED(T, mirrored, [kKeptTile][kKeptTile + 1]);
  const auto row_tile = static_cast<int32_t>(blockIdx.x), apart = static_cast<int32_t>(blockIdx.y);
  if (apart >= kept.apart())
    return keep_positives(a, views, scale, (apart - kept.apart()) * kept.tiles + row_tile, kept);
  if (2 * apart == kept.tiles && row_tile >= apart) return;  // another block's
  const int32_t column_tile = row_tile + apart - (row_tile + apart < kept.tiles ? 0 : kept.tiles);
  T s[4];
  kept_cosines(a, row_tile * kKeptTile, column_tile * kKeptTile, operands, s);
  const unsigned line = threadIdx.x / 8, first = threadIdx.x % 8 * 4;
#pragma unroll
  for (unsigned c = 0; c < 4; ++c) mirrored[line][first + c] = s[c];
  __syncthreads();
#pragma unroll 1  // code that is run once is as slow as it is long
  for (int mirror = 0; mirror < (row_tile == column_tile ? 1 : 2); ++mirror) {
    if (mirror)
#pragma unroll
      for (unsigned c = 0; c < 4; ++c) s[c] = mirrored[first + c][line];
    keep_tile(a, mirror ? column_tile : row_tile, mirror ? row_tile : column_tile, s, kept);
  }
}

}  // namespace dcl::cuda
