// Pooling; contracts at Backend::max_pool_* and average_pool_*.
#pragma once

#include "core/ops.h"
#include "cuda/context.h"

namespace dcl::cuda {

void max_pool_forward(Context&, const MaxPoolDesc&, ConstTensorRef x, TensorRef y, TensorRef argmax);
void max_pool_backward(Context&, const MaxPoolDesc&, ConstTensorRef dy, ConstTensorRef argmax, TensorRef dx);
void average_pool_forward(Context&, const AveragePoolDesc&, ConstTensorRef x, TensorRef y);
void average_pool_backward(Context&, const AveragePoolDesc&, ConstTensorRef dy, TensorRef dx);

}  // namespace dcl::cuda
