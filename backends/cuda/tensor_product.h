// Products of f32 matrices on tensor cores without rounding the factors to what these multiply: every factor is the sum
// of two tf32 numbers, and of the four products of two such sums the three that matter are added, the smallest first.
// What is left out, and what the second number leaves of its factor, is below 2^-21 of the product. Compute capability
// 8.0 and later. Included by .cu files only.
//
// One product is that of a warp: c[16][8] += a[16][8] b[8][8], its elements with the lanes as PTX's mma.m16n8k8 for
// tf32 wants them, where g = lane / 4 and t = lane % 4:
//   a: (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4);  b: (t, g), (t + 4, g);
//   c: (g, 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1).
#pragma once

#include "cuda/launch.h"

namespace dcl::cuda {

inline constexpr int kTensorCapability = 80;  ///< of the compiled kernels, 10 major + minor

/// A lane's factors of one side, in two parts: 4 of a, 2 of b.
template <int Count>
struct SplitFactors {
  unsigned high[Count], low[Count];

  __device__ __forceinline__ void set(int i, float x) {
    constexpr unsigned kTf32 = 0xffffe000u, kHalf = 0x1000u;
    high[i] = (__float_as_uint(x) + kHalf) & kTf32;  // to nearest: signs of what is left even out
    low[i] = __float_as_uint(x - __uint_as_float(high[i])) & kTf32;
  }
};
using FactorsOfA = SplitFactors<4>;
using FactorsOfB = SplitFactors<2>;

#ifdef __CUDACC__
/// Products c += a b in one part each, by the lanes of a whole warp together, each made where it is added.
template <int Most>
struct WarpProducts {
  __device__ __forceinline__ void add(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap();
#endif
  }
  __device__ __forceinline__ void end() {}
};
#else
using emulation::WarpProducts;
#endif

/// c[m][n] += a[m] b[n] for all tiles at once: products that do not wait for each other follow each other.
template <int M, int N>
__device__ __forceinline__ void split_products(float (&c)[M][N][4], const FactorsOfA (&a)[M],
                                               const FactorsOfB (&b)[N]) {
  WarpProducts<3 * M * N> products;
#pragma unroll
  for (int part = 0; part < 3; ++part)
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int m = 0; m < M; ++m)
        products.add(c[m][n], part == 0 ? a[m].low : a[m].high, part == 1 ? b[n].low : b[n].high);
  products.end();
}

// ---- Copies to shared memory that are under way while other work goes on ----------------------------------------

/// Bytes (4, 8 or 16) to shared memory, or as many zeros; both addresses are multiples of it. Arrives by
/// await_copies().
template <int Bytes>
__device__ __forceinline__ void copy_or_clear(void* to, const void* from, bool copies) {
#ifdef __CUDA_ARCH__
#if __CUDA_ARCH__ >= 800
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const int bytes = copies ? Bytes : 0;  // the rest is filled with zeros
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(at), "l"(from), "n"(Bytes), "r"(bytes)
                 : "memory");
#else
  __trap();
#endif
#elif !defined(__CUDACC__)
  emulation::copy_later(to, copies ? from : nullptr, Bytes);
#endif
}

/// Ends a group of copies of this thread.
__device__ __forceinline__ void end_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#elif !defined(__CUDACC__)
  emulation::end_copies();
#endif
}

/// Until all groups of copies of this thread but the last `Underway` have arrived. Other threads' need a barrier.
template <int Underway>
__device__ __forceinline__ void await_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Underway) : "memory");
#elif !defined(__CUDACC__)
  emulation::await_copies(Underway);
#endif
}

}  // namespace dcl::cuda
