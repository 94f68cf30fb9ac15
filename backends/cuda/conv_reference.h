// Convolutions by definition: one thread per result, sums in double. The way for shapes that no library takes, and the
// oracle on the device. Contracts at Backend::conv_*.
#pragma once

#include "core/ops.h"
#include "cuda/context.h"

namespace dcl::cuda::reference {

void conv_forward(Context&, const ConvDesc&, ConstTensorRef x, ConstTensorRef filter, TensorRef y);
void conv_backward_data(Context&, const ConvDesc&, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx, Accum);
void conv_backward_filter(Context&, const ConvDesc&, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter, Accum);
/// The filter as it comes, f32 [k,r,s,c]. bias f32 [k]; residual only when the descriptor says so, y itself allowed.
void fused_conv(Context&, const FusedConvDesc&, ConstTensorRef x, ConstTensorRef filter, ConstTensorRef bias,
                ConstTensorRef residual, TensorRef y);

}  // namespace dcl::cuda::reference
