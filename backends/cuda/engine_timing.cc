#include "cuda/engine_timing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/log.h"
#include "cuda/timing.h"

namespace dcl::cuda {
namespace {

constexpr float kHopeless = 1.3f;  // times the shortest, after a single run
constexpr float kLoading = 20;     // milliseconds that a first run may take longer than others
constexpr float kLong = 2;         // milliseconds: fewer runs suffice
constexpr int kRepeatsOfLong = 3;
constexpr float kNever = std::numeric_limits<float>::infinity();
constexpr int64_t kInspected = 1 << 16;  // results that are looked at

int64_t elements(const GraphTensor& t) { return t.dims[0] * t.dims[1] * t.dims[2] * t.dims[3]; }

/// Plans of one graph on the same operands.
class Race {
 public:
  Race(Context& context, cudnnHandle_t handle, const Graph& graph, std::span<const ExecutionPlan* const> plans)
      : context_(context),
        handle_(handle),
        plans_(plans),
        ids_(graph.operands()),
        result_(graph.tensor(graph.nodes.back().outputs.front())),
        exact_(graph.f32_products) {
    const Numbers numbers = exact_ ? Numbers::integers : Numbers::fractions;
    for (const int64_t id : ids_) {
      const GraphTensor& t = graph.tensor(id);
      pointers_.push_back(blocks_.emplace_back(random_block(elements(t), t.dtype, context.stream(), numbers)).data());
    }
    size_t workspace_bytes = 0;
    for (const ExecutionPlan* plan : plans) workspace_bytes = std::max(workspace_bytes, plan->workspace_bytes());
    workspace_ = blocks_.emplace_back(workspace_bytes, context.stream()).data();
  }

  float time(size_t plan, std::string& failure, int repeats, float most = kNever) {
    return median_time(
        context_.stream(), failure, [&] { plans_[plan]->run(handle_, ids_, pointers_, workspace_); }, repeats, most);
  }

  /// After time(): whether whole numbers gave whole numbers. Engines that transform their operands do not, and not all
  /// of them are noted as such.
  bool is_exact() const {
    if (!exact_) return true;
    std::vector<float> values(static_cast<size_t>(std::min(elements(result_), kInspected)));
    const auto at = std::find(ids_.begin(), ids_.end(), result_.id) - ids_.begin();
    copy_to_host(values.data(), pointers_[static_cast<size_t>(at)], values.size() * sizeof(float), context_.stream());
    return std::all_of(values.begin(), values.end(), [](float x) { return x == std::nearbyint(x); });
  }

 private:
  Context& context_;
  cudnnHandle_t handle_;
  std::span<const ExecutionPlan* const> plans_;
  std::vector<int64_t> ids_;
  GraphTensor result_;
  bool exact_;
  std::vector<DeviceBlock> blocks_;
  std::vector<void*> pointers_;
  void* workspace_ = nullptr;
};

/// Whether memory for a race can be had.
std::optional<Race> race_of(Context& context, cudnnHandle_t handle, const Graph& graph,
                            std::span<const ExecutionPlan* const> plans) {
  try {
    return std::optional<Race>(std::in_place, context, handle, graph, plans);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    return {};
  }
}

}  // namespace

std::optional<size_t> fastest_plan(Context& context, cudnnHandle_t handle, const Graph& graph,
                                   std::span<const ExecutionPlan* const> plans, std::string& failure) {
  std::optional<Race> race = race_of(context, handle, graph, plans);
  if (!race) {
    log(LogLevel::warning, "too little free memory to time convolutions: the first engine that fits is taken");
    return 0;
  }
  std::vector<float> first(plans.size());
  float hope = kNever;
  for (size_t i = 0; i < plans.size(); ++i) {
    first[i] = race->time(i, failure, 1, hope + kLoading);
    if (first[i] <= hope && std::isfinite(first[i]) && !race->is_exact()) {
      failure = "an engine gave fractions for sums of products of whole numbers";
      first[i] = kNever;
    }
    hope = std::min(hope, kHopeless * first[i]);
  }
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
