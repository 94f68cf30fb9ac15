// Optimizer steps over flat buffers; contracts at Backend.
#pragma once

#include "core/ops.h"
#include "cuda/context.h"

namespace dcl::cuda {

void adam(Context&, const AdamDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef m, TensorRef v);
void sgd(Context&, const SgdDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity);
void lars(Context&, const LarsDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity);
void guard_update(Context&, ConstTensorRef result, TensorRef scalars);

}  // namespace dcl::cuda
