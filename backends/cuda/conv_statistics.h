// Convolutions that sum up their output on the way: a plan computes one group of the batch, and its sums become the
// statistics of the batch norm that follows.
#pragma once

#include "cuda/conv_planner.h"

namespace dcl::cuda {

/// Of the plan's sums: f32 [groups][2][channels].
size_t sums_bytes(const BatchNormDesc& norm);

/// `conv` is the whole batch, `plan` that of statistics_pattern_of() it. operands: of the whole batch; sum is the
/// memory of all sums. Contract of the results at Backend::batch_norm_statistics.
void run_with_statistics(Context&, ConvPlan& plan, const ConvDesc& conv, const BatchNormDesc& norm,
                         const ConvOperands& operands, void* workspace, TensorRef saved, TensorRef running_mean,
                         TensorRef running_var);

}  // namespace dcl::cuda
