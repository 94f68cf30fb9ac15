// Whether a convolution should sum up its output itself, measured.
#pragma once

#include <optional>

#include "cuda/conv_planner.h"

namespace dcl::cuda {

/// fused: the plan of statistics_pattern_of(conv, groups); separate: that of the plain forward pass. True when the
/// fused one is clearly faster than the separate one with batch_norm_statistics() after it, gives the same bits every
/// time, and statistics that are those of the separate one but for roundings. Nothing where memory does not suffice to
/// try.
std::optional<bool> statistics_pay(Context&, const ConvDesc& conv, int64_t groups, ConvPlan& fused, ConvPlan& separate);

}  // namespace dcl::cuda
