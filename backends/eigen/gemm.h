// Dense matrix products over all cores, cut into pieces that depend on the shape alone.
#pragma once

#include <cstdint>

namespace dcl {

/// c[m, n] (rows contiguous, ldc apart) = A B [+ bias[n]] [+ c], A(i, p) = a[i * a_row + p * a_k] and
/// B(p, j) = b[p * b_k + j * b_column]; one stride of each should be 1.
template <class T>
struct MatrixProduct {
  int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;
  int64_t a_row = 0, a_k = 1;
  const T* b = nullptr;
  int64_t b_k = 0, b_column = 1;
  const T* bias = nullptr;
  T* c = nullptr;
  int64_t ldc = 0;
  bool add = false;
};

/// Runs on all threads, or on the calling one when it is already inside parallel_for. c must not overlap a, b or bias.
/// Packs into thread scratch (slots gemm_a, gemm_b). T is float or double.
template <class T>
void multiply(const MatrixProduct<T>& product);

}  // namespace dcl
