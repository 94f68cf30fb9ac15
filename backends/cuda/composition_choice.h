// Whether a pass of its own should add the rest of a pattern to its convolution, measured.
#pragma once

#include <optional>

#include "cuda/conv_planner.h"
#include "cuda/timing.h"

namespace dcl::cuda {

/// Milliseconds.
struct CompositionTimes {
  float whole = 0, parts = 0;
  bool composition_pays() const { return parts < whole * kClearlyFaster; }
};

/// whole: a plan of the pattern; convolution: that of convolution_alone(pattern), which a pass over its result
/// completes (ComposedPlan). Nothing where memory does not suffice to try.
std::optional<CompositionTimes> time_composition(Context&, const ConvPattern& pattern, ConvPlan& whole,
                                                 ConvPlan& convolution);

}  // namespace dcl::cuda
