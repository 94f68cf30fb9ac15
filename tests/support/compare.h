// How a result is judged against the oracle. Tolerances follow from the dtype, the number of roundings on the way to an
// element and the magnitude of what was added up; nobody types them.
#pragma once

#include <string>
#include <vector>

#include "core/dtype.h"
#include "support/values.h"

namespace dcl::test {

/// The oracle's answer. magnitude[i] = sum of |terms| of element i: what rounding errors scale with.
struct Expected {
  std::vector<double> value, magnitude;
};

struct Precision {
  DType storage = DType::f32;  ///< of the result
  int64_t roundings = 1;       ///< on the longest way to an element (additions and products), each in `compute`
  DType compute = DType::f32;
};

/// Equal after one rounding to the storage type. Empty when accepted, else the first difference in words.
std::string compare_exact(const std::vector<double>& got, const std::vector<double>& expected, DType storage);

/// Accepted when
///  * every element: |got - value| <= 8 sqrt(n) u magnitude + u_storage |value| (a bound on n random roundings that
///  fails
///    with probability < 2 exp(-32): Higham & Mary, "A new approach to probabilistic rounding error analysis", 2019),
///    and
///  * all together: rms(got - value) <= sqrt(n) u rms(magnitude) + u_storage rms(value).
/// NaN and infinities must be where the oracle has them.
std::string compare(const std::vector<double>& got, const Expected& expected, const Precision& precision);

/// Exactly for operands of Fill::integers, whose sums are exact; otherwise with so many roundings in f32.
std::string judge(const std::vector<double>& got, const Expected& expected, DType storage, int64_t roundings,
                  Fill fill);

}  // namespace dcl::test
