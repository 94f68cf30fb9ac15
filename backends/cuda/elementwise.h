// Fill and cast.
#pragma once

#include "core/tensor.h"
#include "cuda/context.h"

namespace dcl::cuda {

void fill(Context&, TensorRef to, float value);
/// Between f32 and bf16.
void cast(Context&, ConstTensorRef from, TensorRef to);

}  // namespace dcl::cuda
