// Timing of plans on the device.
#pragma once

#include <span>

#include "cuda/context.h"
#include "cuda/cudnn_descriptors.h"

namespace dcl::cuda {

/// Which plan of the graph takes least time, on random operands; the first of those that are equally fast. Takes memory
/// for the operands and the largest workspace meanwhile; plans that fail to run are passed over. Where memory does not
/// suffice, the first.
size_t fastest_plan(Context& context, cudnnHandle_t handle, const Graph& graph,
                    std::span<const ExecutionPlan* const> plans);

}  // namespace dcl::cuda
