// Whether a pass of its own should add the rest of a pattern to its convolution, measured.
#pragma once

#include <optional>

#include "cuda/conv_planner.h"

namespace dcl::cuda {

/// whole: a plan of the pattern; convolution: that of convolution_alone(pattern). True when the latter and a pass over
/// its result (ComposedPlan) take clearly less time. Nothing where memory does not suffice to try.
std::optional<bool> composition_pays(Context&, const ConvPattern& pattern, ConvPlan& whole, ConvPlan& convolution);

}  // namespace dcl::cuda
