// Matrix product in f32 or f64 on the plain units: the projection head, the classifier and kNN, where rounding operands
// to a tensor core's type would show. A block makes a square tile of c, a thread R x R of it: R factors of either side
// come from shared memory sixteen bytes at a time, and the next tiles of a and b are on their way while this one is
// used. Every element is one chain of fused operations in the order of k, whatever the tile.
#include "cuda/gemm.h"
#include "cuda/launch.h"

namespace dcl::cuda {
namespace {

constexpr int kSide = 16, kThreads = kSide * kSide;
constexpr int64_t kEnoughTiles = 128;  // large tiles only where they fill a device

__device__ __forceinline__ float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double multiply_add(double a, double b, double c) { return __fma_rn(a, b, c); }

/// element(i, p) = data[i * row + p * depth]; one of the strides is 1.
template <class T>
struct Matrix {
  const T* data;
  int64_t row, depth;
};

/// The tile of one side: at[p][i] = element(first + i, k + p), 0 outside. Rows stay aligned for vectors. The largest
/// are flat, since what is under way takes registers.
template <int R, class T>
struct Tile {
  static constexpr int kRows = R * kSide, kDepth = R > 4 ? 8 : 16;
  T at[kDepth][kRows + 16 / sizeof(T)];
};

/// What a thread brings of every tile of one side: neighbouring threads read neighbouring memory.
template <int R, class T>
class Share {
 public:
  /// Of the rows from `first` on, of which there are `rows`.
  __device__ Share(const Matrix<T>& from, int64_t first, int64_t rows)
      : rows_(static_cast<int>(min(rows - first, int64_t{kRows}))) {
    const int thread = static_cast<int>(threadIdx.x);
    i_ = along_depth(from) ? thread / kDepth : thread % kRows;
    p_ = along_depth(from) ? thread % kDepth : thread / kRows;
    next_ = from.data + (first + i_) * from.row + p_ * from.depth;
  }

  /// The next tile, of which `depth` columns are left: on its way until store() needs it.
  __device__ __forceinline__ void fetch(const Matrix<T>& from, int64_t depth) {
    const int left = static_cast<int>(min(depth, int64_t{kDepth}));
    const int64_t step = i_step(from) * from.row + p_step(from) * from.depth;
#pragma unroll
    for (int n = 0; n < kCount; ++n)
      values_[n] = i_ + n * i_step(from) < rows_ && p_ + n * p_step(from) < left ? next_[n * step] : T(0);
    next_ += kDepth * from.depth;
  }
  __device__ __forceinline__ void store(const Matrix<T>& from, Tile<R, T>& tile) const {
#pragma unroll
    for (int n = 0; n < kCount; ++n) tile.at[p_ + n * p_step(from)][i_ + n * i_step(from)] = values_[n];
  }

 private:
  static constexpr int kRows = Tile<R, T>::kRows, kDepth = Tile<R, T>::kDepth, kCount = kRows * kDepth / kThreads;
  static __device__ bool along_depth(const Matrix<T>& from) { return from.depth == 1; }
  static __device__ int i_step(const Matrix<T>& from) { return along_depth(from) ? kThreads / kDepth : 0; }
  static __device__ int p_step(const Matrix<T>& from) { return along_depth(from) ? 0 : kThreads / kRows; }

  const T* next_;
  int i_, p_, rows_;
  T values_[kCount];
};

/// Row or column inside the tile of factor n of the thread at `place` of its side: vectors side by side, so that reads
/// of shared memory do not conflict.
template <int R, class T>
__device__ __forceinline__ int within_tile(int place, int n) {
  constexpr int kAtOnce = R * sizeof(T) < 16 ? R : 16 / sizeof(T);
  return n / kAtOnce * kAtOnce * kSide + place * kAtOnce + n % kAtOnce;
}

template <int R, class T>
__global__ void __launch_bounds__(kThreads, 2)
    gemm_kernel(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, const T* bias, bool add, T* c) {
  using Side = Tile<R, T>;
  DCL_SHARED(Side, a_tile, [1]);
  DCL_SHARED(Side, b_tile, [1]);
  const int64_t top = int64_t{blockIdx.y} * Side::kRows, left = int64_t{blockIdx.x} * Side::kRows;
  const int x = static_cast<int>(threadIdx.x) % kSide, y = static_cast<int>(threadIdx.x) / kSide;
  [[maybe_unused]] constexpr int kUnroll = R > 4 ? 1 : 8;  // what registers allow
  T sums[R][R] = {};
  Share<R, T> a_share(a, top, m), b_share(b, left, n);
  a_share.fetch(a, k);
  b_share.fetch(b, k);
  for (int64_t depth = k; depth > 0; depth -= Side::kDepth) {
    a_share.store(a, *a_tile);
    b_share.store(b, *b_tile);
    __syncthreads();
    a_share.fetch(a, depth - Side::kDepth);
    b_share.fetch(b, depth - Side::kDepth);
#pragma unroll kUnroll
    for (int p = 0; p < Side::kDepth; ++p) {
      T left_factor[R], right_factor[R];
#pragma unroll
      for (int i = 0; i < R; ++i) {
        left_factor[i] = a_tile->at[p][within_tile<R, T>(y, i)];
        right_factor[i] = b_tile->at[p][within_tile<R, T>(x, i)];
      }
#pragma unroll
      for (int i = 0; i < R; ++i)
#pragma unroll
        for (int j = 0; j < R; ++j) sums[i][j] = multiply_add(left_factor[i], right_factor[j], sums[i][j]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < R; ++i)
#pragma unroll
    for (int j = 0; j < R; ++j) {
      const int64_t row = top + within_tile<R, T>(y, i), column = left + within_tile<R, T>(x, j);
      if (row >= m || column >= n) continue;
      T value = sums[i][j];
      if (bias) value += bias[column];
      if (add) value += c[row * n + column];
      c[row * n + column] = value;
    }
}

template <int R, class T>
void launch_tiles(Context& context, const GemmDesc& d, Matrix<T> a, Matrix<T> b, const T* bias, T* c) {
  constexpr int64_t kTile = R * kSide;
  const int64_t down = ceil_div(d.m, kTile), kMostDown = 65535;  // blocks of a grid's second axis
  for (int64_t first = 0; first < down; first += kMostDown) {
    const int64_t skipped = first * kTile, rows = min(d.m - skipped, kMostDown * kTile);
    const Matrix<T> part{a.data + skipped * a.row, a.row, a.depth};
    const dim3 grid(static_cast<unsigned>(ceil_div(d.n, kTile)), static_cast<unsigned>(ceil_div(rows, kTile)));
    launch(gemm_kernel<R, T>, grid, kThreads, 0, context.stream(), rows, d.n, d.k, part, b, bias, d.accum == Accum::add,
           c + skipped * d.n);
  }
}

template <class T>
void multiply(Context& context, const GemmDesc& d, const T* a, const T* b, const T* bias, T* c) {
  const Matrix<T> left{a, d.trans_a ? 1 : d.k, d.trans_a ? d.m : 1};
  const Matrix<T> right{b, d.trans_b ? d.k : 1, d.trans_b ? 1 : d.n};
  const auto fill = [&](int64_t tile) { return ceil_div(d.m, tile) * ceil_div(d.n, tile) >= kEnoughTiles; };
  if constexpr (sizeof(T) == 4)  // sums of f64 would take twice the registers
    if (fill(128)) return launch_tiles<8>(context, d, left, right, bias, c);
  if (fill(64)) return launch_tiles<4>(context, d, left, right, bias, c);
  launch_tiles<2>(context, d, left, right, bias, c);
}

}  // namespace

void gemm(Context& context, const GemmDesc& d, ConstTensorRef a, ConstTensorRef b, ConstTensorRef bias, TensorRef c) {
  const auto run = [&](auto type) {
    using T = decltype(type);
    multiply(context, d, a.as<T>(), b.as<T>(), bias ? bias.as<T>() : nullptr, c.as<T>());
  };
  if (d.dtype == DType::f64) return run(double{});
  run(float{});
}

}  // namespace dcl::cuda
