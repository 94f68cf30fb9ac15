// Matrix product; contract at Backend::gemm.
#pragma once

#include "core/ops.h"
#include "cuda/context.h"

namespace dcl::cuda {

void gemm(Context&, const GemmDesc&, ConstTensorRef a, ConstTensorRef b, ConstTensorRef bias, TensorRef c);

}  // namespace dcl::cuda
