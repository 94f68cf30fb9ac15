// Matrix product in f32 or f64 on the plain units: the projection head, the classifier and kNN, where rounding operands
// to a tensor core's type would show. A block makes a square tile of c, a thread R x R of it with a stride of 16, so
// that reads of shared memory neither conflict nor repeat within a warp. Every element is one chain of fused operations
// in the order of k, whatever the tile.
#include "cuda/gemm.h"
#include "cuda/launch.h"

namespace dcl::cuda {
namespace {

constexpr int kSide = 16, kThreads = kSide * kSide;
constexpr int kDepth = 16;             // of a tile of a and b
constexpr int64_t kEnoughTiles = 256;  // large tiles only where they fill a device

__device__ __forceinline__ float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double multiply_add(double a, double b, double c) { return __fma_rn(a, b, c); }

/// element(i, p) = data[i * row + p * depth]; one of the strides is 1.
template <class T>
struct Matrix {
  const T* data;
  int64_t row, depth;
};

/// tile[p][i] = element(first + i, k + p), 0 outside. Neighbouring threads read neighbouring memory.
template <int kTile, class T>
__device__ __forceinline__ void load_tile(const Matrix<T>& from, int64_t first, int64_t rows, int64_t k, int64_t depth,
                                          T (*tile)[kTile + 1]) {
#pragma unroll
  for (int at = 0; at < kTile * kDepth; at += kThreads) {
    const int index = at + static_cast<int>(threadIdx.x);
    const bool along_depth = from.depth == 1;
    const int i = along_depth ? index / kDepth : index % kTile;
    const int p = along_depth ? index % kDepth : index / kTile;
    const bool inside = first + i < rows && k + p < depth;
    tile[p][i] = inside ? from.data[(first + i) * from.row + (k + p) * from.depth] : T(0);
  }
}

template <int R, class T>
__global__ void __launch_bounds__(kThreads)
    gemm_kernel(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, const T* bias, bool add, T* c) {
  constexpr int kTile = R * kSide;
  DCL_SHARED(T, a_tile, [kDepth][kTile + 1]);
  DCL_SHARED(T, b_tile, [kDepth][kTile + 1]);
  const int64_t top = int64_t{blockIdx.y} * kTile, left = int64_t{blockIdx.x} * kTile;
  const int x = static_cast<int>(threadIdx.x) % kSide, y = static_cast<int>(threadIdx.x) / kSide;
  T sums[R][R] = {};
  for (int64_t depth = 0; depth < k; depth += kDepth) {
    load_tile<kTile>(a, top, m, depth, k, a_tile);
    load_tile<kTile>(b, left, n, depth, k, b_tile);
    __syncthreads();
#pragma unroll
    for (int p = 0; p < kDepth; ++p) {
      T left_factor[R], right_factor[R];
#pragma unroll
      for (int i = 0; i < R; ++i) left_factor[i] = a_tile[p][y + i * kSide], right_factor[i] = b_tile[p][x + i * kSide];
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
      const int64_t row = top + y + i * kSide, column = left + x + j * kSide;
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
  if (ceil_div(d.m, 64) * ceil_div(d.n, 64) >= kEnoughTiles) return launch_tiles<4>(context, d, left, right, bias, c);
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
