// Test data: values held in double that are exactly representable in the dtype a tensor will be stored in, so that the
// oracle and the backend start from the same numbers.
#pragma once

#include <vector>

#include "core/tensor.h"

namespace dcl::test {

/// The nearest value of the type, ties to even: one rounding from double. Shares no code with lib/math.
double round_to(double value, DType type);

/// Half of a unit in the last place of 1 (the relative error of one rounding); 0 for integer types.
double unit_roundoff(DType type);

struct Values {
  Shape shape;
  DType dtype = DType::f32;
  std::vector<double> v;

  double operator[](int64_t i) const { return v[static_cast<size_t>(i)]; }
};

enum class Fill {
  integers,  ///< -2..2: sums of products are exact in f32, so the tolerance is 0
  uniform,   ///< (-1, 1)
};

/// `which` makes operands of one test differ; the same arguments give the same values.
Values filled(Shape shape, DType dtype, Fill fill, uint32_t which);
Values constant(Shape shape, DType dtype, double value);
/// Rounds every entry to dtype.
Values values_of(Shape shape, DType dtype, std::vector<double> entries);

/// Bytes of a tensor from values and back.
std::vector<std::byte> encode(const Values& values);
std::vector<double> decode(const void* data, int64_t count, DType dtype);

}  // namespace dcl::test
