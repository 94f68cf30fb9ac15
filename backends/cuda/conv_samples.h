// What a library's convolution gives, judged at places spread over its result.
#pragma once

#include "cuda/conv_planner.h"

namespace dcl::cuda {

/// Few whole numbers among many zeros, different at every place of an f32 or bf16 tensor: sums of their products are
/// exact in any order, and of the networks' convolutions nearly always small enough for bf16.
void fill_sparse_integers(Context&, TensorRef values, uint32_t seed);

/// How many of the places that were looked at do not hold what the pattern's definition gives for operands of whole
/// numbers, rounded once. before: for a pattern that adds, what the result held. Waits for the device.
int64_t count_wrong(Context&, const ConvPattern&, const ConvOperands&, const void* before = nullptr);

/// How many values of two tensors of one shape and type have other bits. Waits for the device.
int64_t count_differing(Context&, ConstTensorRef a, ConstTensorRef b);

}  // namespace dcl::cuda
