// Fill, cast and add.
#pragma once

#include "core/tensor.h"
#include "cuda/context.h"

namespace dcl::cuda {

void fill(Context&, TensorRef to, float value);
/// Between f32 and bf16.
void cast(Context&, ConstTensorRef from, TensorRef to);
/// to += from; to is f32, from f32 or bf16.
void accumulate(Context&, ConstTensorRef from, TensorRef to);

}  // namespace dcl::cuda
