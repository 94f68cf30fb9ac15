// Row operations; contracts at Backend.
#pragma once

#include "core/ops.h"
#include "cuda/context.h"

namespace dcl::cuda {

void l2_normalize_forward(Context&, ConstTensorRef x, TensorRef y, TensorRef norms);
void l2_normalize_backward(Context&, ConstTensorRef dy, ConstTensorRef y, ConstTensorRef norms, TensorRef dx);
/// A label outside [0, classes) makes the row's loss and gradient NaN.
void cross_entropy(Context&, const CrossEntropyDesc&, ConstTensorRef logits, ConstTensorRef labels, TensorRef loss,
                   TensorRef dlogits);
void top_k(Context&, ConstTensorRef scores, TensorRef values, TensorRef indices);

}  // namespace dcl::cuda
