// Batch norm; contracts at Backend::batch_norm_*.
#pragma once

#include "core/ops.h"
#include "cuda/context.h"

namespace dcl::cuda {

void batch_norm_statistics(Context&, const BatchNormDesc&, ConstTensorRef x, TensorRef saved, TensorRef running_mean,
                           TensorRef running_var);
void batch_norm_running(Context&, const BatchNormDesc&, ConstTensorRef running_mean, ConstTensorRef running_var,
                        TensorRef saved);
void batch_norm_apply(Context&, const BatchNormDesc&, const NormOperands&, ConstTensorRef residual, TensorRef y,
                      TensorRef positive);
/// What is read as bf16 vectors has a byte of signs for each.
inline bool keeps_signs(const BatchNormDesc& d) {
  return d.dtype == DType::bf16 && d.relu && d.residual && d.channels % 8 == 0;
}

void batch_norm_backward(Context&, const BatchNormDesc&, ConstTensorRef dy, ConstTensorRef y, const NormOperands&,
                         const NormGradients&, TensorRef dresidual, Accum accum);

/// Where keeps_signs(); dx of the second may be dy.
void batch_norm_pair_apply(Context&, const BatchNormDesc&, const NormPair&, TensorRef y, TensorRef positive);
void batch_norm_pair_backward(Context&, const BatchNormDesc&, ConstTensorRef dy, ConstTensorRef positive,
                              const NormPair&, const NormPairGradients&, Accum accum);

}  // namespace dcl::cuda
