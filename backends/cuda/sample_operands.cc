#include "cuda/sample_operands.h"

namespace dcl::cuda {

SampleOperands::SampleOperands(Context& context, const ConvPattern& pattern) : context_(context) {
  const ConvDesc& d = pattern.conv;
  operands_.x = tensor(d.x_shape(), d.dtype, pattern.pass == ConvPass::backward_data);
  operands_.filter = tensor(d.filter_shape(), d.dtype, pattern.pass == ConvPass::backward_filter);
  operands_.y = tensor(d.y_shape(), d.dtype, pattern.pass == ConvPass::forward);
  if (pattern.bias) operands_.bias = tensor({d.k}, DType::f32, false);
  if (pattern.residual) operands_.residual = operands_.y;
}

void SampleOperands::fill(Operands numbers) {
  for (size_t i = 0; i < tensors_.size(); ++i) fill_operand(context_, tensors_[i], numbers, static_cast<uint32_t>(i));
}

void* SampleOperands::tensor(Shape shape, DType dtype, bool is_result) {
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
  const TensorRef t{blocks_.emplace_back(bytes, context_.stream()).data(), shape, dtype};
  if (is_result) result_ = t;
  return tensors_.emplace_back(t).data;
}

}  // namespace dcl::cuda
