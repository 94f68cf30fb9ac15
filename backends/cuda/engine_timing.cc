#include "cuda/engine_timing.h"

#include <algorithm>
#include <limits>

#include "core/log.h"
#include "cuda/timing.h"

namespace dcl::cuda {
namespace {

DeviceBlock operand(const GraphTensor& t, Stream stream) {
  int64_t count = 1;
  for (const int64_t extent : t.dims) count *= extent;
  return random_block(count, t.dtype, stream);
}

}  // namespace

std::optional<size_t> fastest_plan(Context& context, cudnnHandle_t handle, const Graph& graph,
                                   std::span<const ExecutionPlan* const> plans, std::string& failure) {
  const std::vector<int64_t> ids = graph.operands();
  std::vector<DeviceBlock> blocks;
  std::vector<void*> pointers;
  size_t workspace_bytes = 0;
  for (const ExecutionPlan* plan : plans) workspace_bytes = std::max(workspace_bytes, plan->workspace_bytes());
  try {
    for (const int64_t id : ids)
      pointers.push_back(blocks.emplace_back(operand(graph.tensor(id), context.stream())).data());
    blocks.emplace_back(workspace_bytes, context.stream());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    log(LogLevel::warning, "too little free memory to time convolutions: the first engine that fits is taken");
    return 0;
  }
  std::optional<size_t> best;
  float least = std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < plans.size(); ++i) {
    const float time =
        median_time(context.stream(), failure, [&] { plans[i]->run(handle, ids, pointers, blocks.back().data()); });
    if (time < least * kClearlyFaster) best = i, least = time;
  }
  synchronize(context.stream());
  return best;
}

}  // namespace dcl::cuda
