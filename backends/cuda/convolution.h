// Convolutions of the backend; contracts at Backend::conv_*.
#pragma once

#include "core/backend.h"
#include "cuda/context.h"

namespace dcl::cuda {

size_t conv_workspace(const Context&, const ConvDesc&, ConvPass);
void conv_forward(Context&, const ConvDesc&, ConstTensorRef x, ConstTensorRef filter, TensorRef y, Workspace);
void conv_backward_data(Context&, const ConvDesc&, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx, Accum,
                        Workspace);
void conv_backward_filter(Context&, const ConvDesc&, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter, Accum,
                          Workspace);
size_t packed_filter_bytes(const FusedConvDesc&);
void pack_filter(Context&, const FusedConvDesc&, ConstTensorRef filter, TensorRef packed);
size_t fused_conv_workspace(const Context&, const FusedConvDesc&);
void fused_conv(Context&, const FusedConvDesc&, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                ConstTensorRef residual, TensorRef y, Workspace);

}  // namespace dcl::cuda
