// Matrix product on packed panels: the register-tiled inner kernel of every dense product of this backend (gemm op,
// convolutions, contrastive objective, kNN). Compiled once per instruction set; baseline runs on any processor.
//
// Packed formats (64-byte aligned is fastest; short panels are filled with zeros):
//   A [m, k]: ceil(m / mr) panels, each k x mr, row index fastest:     packed[(i / mr) * k * mr + p * mr + i % mr]
//   B [k, n]: ceil(n / nr) panels, each k x nr, column index fastest:  packed[(j / nr) * k * nr + p * nr + j % nr]
// Keep k of one call at most kGemmDepth and add up slices of k: a panel of B then stays in the first-level cache, and
// sums are cut into short runs, which also keeps their rounding error small.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dcl::kernels {

inline constexpr int64_t kGemmDepth = 256;

template <class T>
struct GemmKernels {
  int64_t mr, nr;  ///< register tile: rows of C, columns of C
  /// Elements of the packed forms.
  int64_t packed_a(int64_t m, int64_t k) const { return (m + mr - 1) / mr * mr * k; }
  int64_t packed_b(int64_t k, int64_t n) const { return (n + nr - 1) / nr * nr * k; }

  /// a(i, p) = a[i * row_stride + p * k_stride]. Fast when either stride is 1.
  void (*pack_a)(const T* a, int64_t row_stride, int64_t k_stride, int64_t m, int64_t k, T* packed);
  /// b(p, j) = b[p * k_stride + j * column_stride]: row-major B has column_stride 1, transposed B k_stride 1.
  void (*pack_b)(const T* b, int64_t k_stride, int64_t column_stride, int64_t k, int64_t n, T* packed);
  /// c[m, n] (row stride ldc) = A B, or += with `add`. One thread; each element is summed in the order of k.
  void (*multiply)(int64_t m, int64_t n, int64_t k, const T* packed_a, const T* packed_b, T* c, int64_t ldc, bool add);
};

struct GemmTable {
  GemmKernels<float> f32;
  GemmKernels<double> f64;
};

/// The table of the best instruction set of this processor.
const GemmTable& gemm();

}  // namespace dcl::kernels
