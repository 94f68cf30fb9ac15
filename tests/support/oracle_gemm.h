// The matrix product by its definition, in double.
#pragma once

#include <cstdint>
#include <vector>

namespace dcl::test {

/// c[m, n] = op(a) op(b) + bias + c; a is stored [k, m] if trans_a, b [n, k] if trans_b; bias may be empty.
template <class T>
std::vector<double> oracle_gemm(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b, const std::vector<T>& a,
                                const std::vector<T>& b, const std::vector<T>& bias, const std::vector<T>& c) {
  std::vector<double> out(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = c.empty() ? 0.0 : static_cast<double>(c[static_cast<size_t>(i * n + j)]);
      if (!bias.empty()) sum += static_cast<double>(bias[static_cast<size_t>(j)]);
      for (int64_t p = 0; p < k; ++p)
        sum += static_cast<double>(a[static_cast<size_t>(trans_a ? p * m + i : i * k + p)]) *
               static_cast<double>(b[static_cast<size_t>(trans_b ? j * k + p : p * n + j)]);
      out[static_cast<size_t>(i * n + j)] = sum;
    }
  return out;
}

}  // namespace dcl::test
