// Operations on rows of f32 matrices. Sums are kept in double.
#pragma once

#include <cstdint>

namespace dcl::kernels {

struct RowTable {
  double (*dot)(const float* a, const float* b, int64_t count);
  /// y = x / divisor; y may be x.
  void (*divide)(const float* x, float divisor, int64_t count, float* y);
  /// dx = (dy - projection * y) / divisor; dx may be dy or y.
  void (*project)(const float* dy, const float* y, float projection, float divisor, int64_t count, float* dx);
  /// exponentials[j] = e^(x[j] - max(x)), at least e^-87; returns their sum, and max(x) in `largest`. NaN propagates.
  double (*softmax_numerators)(const float* x, int64_t count, float* exponentials, float* largest);
  /// Whether any of x[0, kScanRun) is not <= threshold (NaN included).
  bool (*any_above)(const float* x, float threshold);
  /// sums[j] += the column sums of x [rows, columns].
  void (*add_columns)(const float* x, int64_t rows, int64_t columns, double* sums);
};

inline constexpr int64_t kScanRun = 256;

const RowTable& rows();

}  // namespace dcl::kernels
