// What a library's convolution gives, judged at places spread over its result.
#pragma once

#include "cuda/conv_planner.h"

namespace dcl::cuda {

/// Random numbers as operands: different at every place of an f32 or bf16 tensor, the same every time.
enum class Operands {
  /// Few -1 and 1 among zeros: sums of their products are exact in any order, and of the networks' convolutions nearly
  /// always small enough for bf16. Results have to be the definition's, rounded once.
  integers,
  /// In [-1, 1): they make a device as busy, and rounding as visible, as in earnest. Results have to be as close to the
  /// definition's as sums in f32 are, and sums in less are not.
  fractions,
};
void fill_operand(Context&, TensorRef values, Operands, uint32_t seed);

/// How many of the places that were looked at do not hold what the pattern's definition gives. before: for a pattern
/// that adds, what the result held. Waits for the device.
int64_t count_wrong(Context&, const ConvPattern&, const ConvOperands&, const void* before, Operands);

/// How many values of two tensors of one shape and type have other bits. Waits for the device.
int64_t count_differing(Context&, ConstTensorRef a, ConstTensorRef b);

}  // namespace dcl::cuda
