#include "cuda/composed_plan.h"

#include "core/extent.h"
#include "cuda/elementwise.h"

namespace dcl::cuda {
namespace {

Shape result_shape(const ConvPattern& pattern) {
  return pattern.pass == ConvPass::backward_data ? pattern.conv.x_shape() : pattern.conv.y_shape();
}

}  // namespace

ComposedPlan::ComposedPlan(Context& context, const ConvPattern& whole, ConvPlan& convolution)
    : context_(context),
      whole_(whole),
      convolution_(convolution),
      result_bytes_(padded(static_cast<size_t>(result_shape(whole).elements()) * size_of(whole.conv.dtype),
                           kWorkspaceAlignment)) {
  workspace_bytes_ = result_bytes_ + convolution.workspace_bytes();
}

/// The convolution's result has memory of its own: where the pattern's goes, its residual may lie.
void ComposedPlan::run(const ConvOperands& operands, void* workspace) {
  const bool data = whole_.pass == ConvPass::backward_data;
  ConvOperands alone = operands;
  (data ? alone.x : alone.y) = workspace;
  convolution_.run(alone, static_cast<char*>(workspace) + result_bytes_);
  const auto tensor = [this](const void* memory) {
    return TensorRef{const_cast<void*>(memory), result_shape(whole_), whole_.conv.dtype};
  };
  const TensorRef result = tensor(data ? operands.x : operands.y);
  const ConstTensorRef bias{whole_.bias ? operands.bias : nullptr, {whole_.conv.k}, DType::f32};
  ConstTensorRef other;
  if (whole_.add) other = result;
  if (whole_.residual) other = tensor(operands.residual);
  add_rest(context_, tensor(workspace), bias, other, whole_.relu, result);
}

}  // namespace dcl::cuda
