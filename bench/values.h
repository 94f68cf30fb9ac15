// Values that benchmarks compute with.
#pragma once

#include <algorithm>
#include <vector>

#include "core/backend.h"
#include "core/rows.h"
#include "math/philox.h"

namespace dcl::bench {

/// Uniform in [-2, 2), the same 2^20 again and again: a GPU multiplies constants with less power, and so faster.
inline void fill_uniform(Backend& backend, TensorRef to) {
  const int64_t count = to.shape.elements(), drawn = std::min(count, int64_t{1} << 20);
  RandomStream stream(1, RandomPurpose::test);
  std::vector<float> values(static_cast<size_t>(drawn));
  for (float& value : values) value = static_cast<float>(stream.uniform(-2, 2));
  const TensorRef flat{to.data, {count}, to.dtype};
  if (to.dtype == DType::f32) {
    backend.copy_in(rows(flat, 0, drawn), values.data());
  } else {
    const std::vector<bf16> rounded(values.begin(), values.end());
    backend.copy_in(rows(flat, 0, drawn), rounded.data());
  }
  for (int64_t done = drawn; done < count; done += drawn) {
    const int64_t size = std::min(drawn, count - done);
    backend.copy(rows(flat, 0, size), rows(flat, done, size));
  }
}

}  // namespace dcl::bench
