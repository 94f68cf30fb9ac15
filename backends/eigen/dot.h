// Products of rows in double, for what few of them are needed of.
#pragma once

#include <cstdint>

namespace dcl {

template <class A, class B>
double dot(const A* a, const B* b, int64_t dim) {
  double even = 0, odd = 0;
  int64_t k = 0;
  for (; k + 1 < dim; k += 2) {
    even += static_cast<double>(a[k]) * static_cast<double>(b[k]);
    odd += static_cast<double>(a[k + 1]) * static_cast<double>(b[k + 1]);
  }
  if (k < dim) even += static_cast<double>(a[k]) * static_cast<double>(b[k]);
  return even + odd;
}

}  // namespace dcl
