#include "cuda/conv_statistics.h"

#include "cuda/batch_norm.h"

namespace dcl::cuda {

size_t sums_bytes(const BatchNormDesc& norm) {
  return static_cast<size_t>(norm.groups * 2 * norm.channels) * sizeof(float);
}

void run_with_statistics(Context& context, ConvPlan& plan, const ConvDesc& conv, const BatchNormDesc& norm,
                         const ConvOperands& operands, void* workspace, TensorRef saved, TensorRef running_mean,
                         TensorRef running_var) {
  const auto part = [&](const void* all, Shape shape, int64_t group) {
    const int64_t elements = shape.elements() / norm.groups * group;
    return static_cast<const char*>(all) + static_cast<size_t>(elements) * size_of(conv.dtype);
  };
  for (int64_t group = 0; group < norm.groups; ++group) {
    ConvOperands own = operands;
    own.x = part(operands.x, conv.x_shape(), group);
    own.y = part(operands.y, conv.y_shape(), group);
    own.sum = operands.sum + group * 2 * norm.channels;
    own.square_sum = own.sum + norm.channels;
    plan.run(own, workspace);
  }
  batch_norm_statistics_of_sums(context, norm, operands.sum, saved, running_mean, running_var);
}

}  // namespace dcl::cuda
