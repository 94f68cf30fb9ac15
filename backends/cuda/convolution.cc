#include "cuda/convolution.h"

#include "cuda/conv_reference.h"

namespace dcl::cuda {

size_t conv_workspace(const Context&, const ConvDesc&, ConvPass) { return 0; }

void conv_forward(Context& context, const ConvDesc& d, ConstTensorRef x, ConstTensorRef filter, TensorRef y,
                  Workspace) {
  reference::conv_forward(context, d, x, filter, y);
}

void conv_backward_data(Context& context, const ConvDesc& d, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx,
                        Accum accum, Workspace) {
  reference::conv_backward_data(context, d, dy, filter, dx, accum);
}

void conv_backward_filter(Context& context, const ConvDesc& d, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter,
                          Accum accum, Workspace) {
  reference::conv_backward_filter(context, d, x, dy, dfilter, accum);
}

size_t packed_filter_bytes(const FusedConvDesc& d) {
  return static_cast<size_t>(d.conv.filter_shape().elements()) * sizeof(float);
}

void pack_filter(Context& context, const FusedConvDesc&, ConstTensorRef filter, TensorRef packed) {
  copy_on_device(packed.data, filter.data, filter.bytes(), context.stream());
}

size_t fused_conv_workspace(const Context&, const FusedConvDesc&) { return 0; }

void fused_conv(Context& context, const FusedConvDesc& d, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                ConstTensorRef residual, TensorRef y, Workspace) {
  const ConstTensorRef filter{packed.data, d.conv.filter_shape(), DType::f32};
  reference::fused_conv(context, d, x, filter, bias, residual, y);
}

}  // namespace dcl::cuda
