#include "cuda/engine_timing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/log.h"
#include "cuda/conv_samples.h"
#include "cuda/timing.h"

namespace dcl::cuda {
namespace {

constexpr float kHopeless = 1.3f;  // times the shortest, after a single run
constexpr float kLoading = 20;     // milliseconds that a first run may take longer than others
constexpr float kLong = 2;         // milliseconds: fewer runs suffice
constexpr int kRepeatsOfLong = 3;
constexpr float kNever = std::numeric_limits<float>::infinity();

int64_t elements(const GraphTensor& t) { return t.dims[0] * t.dims[1] * t.dims[2] * t.dims[3]; }

ConvOperands operands_of(std::span<const int64_t> ids, std::span<void* const> pointers) {
  ConvOperands o;
  const auto of = [&](int64_t id) {
    const auto at = std::find(ids.begin(), ids.end(), id);
    return at == ids.end() ? nullptr : pointers[static_cast<size_t>(at - ids.begin())];
  };
  o.x = of(kX), o.filter = of(kFilter), o.y = of(kY), o.bias = of(kBias), o.residual = of(kResidual);
  return o;
}

std::string name_of(const EngineChoice& choice) {
  std::string name = std::to_string(choice.engine) + " (";
  for (const auto& [type, value] : choice.knobs) name += std::to_string(type) + "=" + std::to_string(value) + ",";
  return name + ")";
}

/// Plans of one pattern on the same operands: whole numbers, until they are timed in earnest.
class Race {
 public:
  Race(Context& context, cudnnHandle_t handle, const ConvPattern& pattern, const Graph& graph,
       std::span<const ExecutionPlan* const> plans)
      : context_(context), handle_(handle), pattern_(pattern), plans_(plans), ids_(graph.operands()) {
    for (const int64_t id : ids_) {
      const GraphTensor& t = graph.tensor(id);
      blocks_.emplace_back(static_cast<size_t>(elements(t)) * size_of(t.dtype), context.stream());
      tensors_.push_back({blocks_.back().data(), {elements(t)}, t.dtype});
      pointers_.push_back(blocks_.back().data());
      fill_sparse_integers(context, tensors_.back(), static_cast<uint32_t>(id));
    }
    size_t workspace_bytes = 0;
    for (const ExecutionPlan* plan : plans) workspace_bytes = std::max(workspace_bytes, plan->workspace_bytes());
    workspace_ = blocks_.emplace_back(workspace_bytes, context.stream()).data();
    if (pattern.add) {
      before_ = blocks_.emplace_back(tensor(kX).bytes(), context.stream()).data();
      copy_on_device(before_, tensor(kX).data, tensor(kX).bytes(), context.stream());
    }
  }

  /// From now on operands are what makes a device as busy as in earnest.
  void use_fractions() {
    for (const TensorRef& t : tensors_) fill_random(t, context_.stream());
  }

  float time(size_t plan, std::string& failure, int repeats, float most = kNever) {
    return median_time(
        context_.stream(), failure, [&] { run(plan); }, repeats, most);
  }

  /// How many results are wrong, of those that are looked at.
  int64_t wrong(size_t plan) {
    if (before_) copy_on_device(tensor(kX).data, before_, tensor(kX).bytes(), context_.stream());
    run(plan);
    return count_wrong(context_, pattern_, operands_of(ids_, pointers_), before_);
  }

 private:
  void run(size_t plan) { plans_[plan]->run(handle_, ids_, pointers_, workspace_); }
  const TensorRef& tensor(int64_t id) const {
    return tensors_[static_cast<size_t>(std::find(ids_.begin(), ids_.end(), id) - ids_.begin())];
  }

  Context& context_;
  cudnnHandle_t handle_;
  const ConvPattern& pattern_;
  std::span<const ExecutionPlan* const> plans_;
  std::vector<int64_t> ids_;
  std::vector<DeviceBlock> blocks_;
  std::vector<TensorRef> tensors_;
  std::vector<void*> pointers_;
  void *workspace_ = nullptr, *before_ = nullptr;
};

/// Whether memory for a race can be had.
std::optional<Race> race_of(Context& context, cudnnHandle_t handle, const ConvPattern& pattern, const Graph& graph,
                            std::span<const ExecutionPlan* const> plans) {
  try {
    return std::optional<Race>(std::in_place, context, handle, pattern, graph, plans);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    return {};
  }
}

}  // namespace

std::optional<size_t> fastest_plan(Context& context, cudnnHandle_t handle, const ConvPattern& pattern,
                                   const Graph& graph, std::span<const ExecutionPlan* const> plans,
                                   std::string& failure) {
  std::optional<Race> race = race_of(context, handle, pattern, graph, plans);
  if (!race) {
    log(LogLevel::warning, "too little free memory to time convolutions: the first engine that fits is taken");
    return 0;
  }
  std::vector<float> first(plans.size());
  float hope = kNever;
  for (size_t i = 0; i < plans.size(); ++i) {
    first[i] = race->time(i, failure, 1, hope + kLoading);
    if (first[i] <= hope && std::isfinite(first[i]) && race->wrong(i) > 0) {
      failure = "cuDNN's engine " + name_of(plans[i]->config().choice()) + " gives wrong results for " +
                key_text(pattern) + " and is passed over";
      log(LogLevel::info, failure);
      first[i] = kNever;
    }
    hope = std::min(hope, kHopeless * first[i]);
  }
  race->use_fractions();
  std::optional<size_t> best;
  float least = kNever;
  for (size_t i = 0; i < plans.size(); ++i) {
    if (!std::isfinite(first[i]) || first[i] > hope) continue;
    const float time = race->time(i, failure, first[i] > kLong ? kRepeatsOfLong : kRepeats);
    if (time < least * kClearlyFaster) best = i, least = time;
  }
  synchronize(context.stream());
  return best;
}

}  // namespace dcl::cuda
