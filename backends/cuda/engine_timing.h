// Timing of plans on the device.
#pragma once

#include <optional>
#include <span>

#include "cuda/context.h"
#include "cuda/cudnn_descriptors.h"

namespace dcl::cuda {

/// Which plan of the pattern and its graph takes least time, on random operands; the first of those that are equally
/// fast. Takes memory for the operands and the largest workspace meanwhile. Plans that fail to run are passed over, and
/// so are those whose results are wrong (count_wrong); nothing, and why in `failure`, when none is left. Where memory
/// does not suffice, the first.
std::optional<size_t> fastest_plan(Context& context, cudnnHandle_t handle, const ConvPattern& pattern,
                                   const Graph& graph, std::span<const ExecutionPlan* const> plans,
                                   std::string& failure);

}  // namespace dcl::cuda
