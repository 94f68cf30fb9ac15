// The planner that asks cuDNN. An engine is chosen once per pattern by timing what the heuristics propose, and
// remembered in the plan cache. Plans of remembered choices are made on threads of their own, since some compile for a
// second: the first run of a plan waits for it.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <future>
#include <optional>
#include <semaphore>
#include <thread>

#include "core/log.h"
#include "cuda/conv_planner.h"
#include "cuda/cudnn_descriptors.h"
#include "cuda/engine_timing.h"
#include "cuda/errors.h"
#include "cuda/plan_cache.h"
#include "cuda/statistics_choice.h"

namespace dcl::cuda {
namespace {

constexpr size_t kMostTimed = 10, kMostCompiled = 3;  // engines that are timed per pattern
constexpr size_t kMostWorkspace = size_t{768} << 20;
constexpr ptrdiff_t kMostThreads = 64;

/// Engines whose results may be trusted, best guess first, few of those that compile.
std::vector<EngineConfig> candidates(const OperationGraph& graph, const DeviceProperties& device, bool f32_products) {
  std::vector<EngineConfig> chosen;
  size_t compiled = 0;
  for (EngineConfig& config : propose_engines(graph, device)) {
    const EngineTraits traits = config.traits();
    if (!is_admissible(traits, f32_products) || chosen.size() == kMostTimed) continue;
    if (traits.compiles && ++compiled > kMostCompiled) continue;
    chosen.push_back(std::move(config));
  }
  return chosen;
}

class Handle {
 public:
  explicit Handle(Stream stream) {
    require_context();
    check_cudnn(cudnn().create_handle(&handle_), "creating a handle");
    check_cudnn(cudnn().set_stream(handle_, stream), "setting the stream");
  }
  ~Handle() {
    if (!context_lost()) cudnn().destroy_handle(handle_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  cudnnHandle_t get() const { return handle_; }

 private:
  cudnnHandle_t handle_ = nullptr;
};

using Slots = std::counting_semaphore<kMostThreads>;

class Slot {
 public:
  explicit Slot(Slots& slots) : slots_(slots) { slots_.acquire(); }
  ~Slot() { slots_.release(); }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

 private:
  Slots& slots_;
};

/// Makes plans on threads, no more at once than there are cores.
class Builder {
 public:
  using Plan = std::shared_ptr<ExecutionPlan>;

  Builder() {
    check(cudaGetDevice(&device_), "the current GPU");
    properties_.emplace(device_);
  }

  const DeviceProperties& device() const { return *properties_; }

  /// Null when the engine cannot serve after all.
  std::shared_future<Plan> start(std::shared_ptr<const OperationGraph> graph, EngineConfig config) {
    auto plan = std::make_shared<ExecutionPlan>(std::move(graph), std::move(config), *properties_);
    return std::async(std::launch::async, [this, plan] { return finalized(*plan) ? plan : nullptr; }).share();
  }

 private:
  bool finalized(ExecutionPlan& plan) {
    const Slot slot(slots_);
    return cudaSetDevice(device_) == cudaSuccess && plan.finalize() == CUDNN_STATUS_SUCCESS;
  }

  int device_ = 0;
  std::optional<DeviceProperties> properties_;
  Slots slots_{std::clamp<ptrdiff_t>(std::thread::hardware_concurrency(), 1, kMostThreads)};
};

class CudnnPlan final : public ConvPlan {
 public:
  CudnnPlan(const Handle& handle, const Graph& graph, EngineChoice choice, size_t workspace_bytes,
            std::shared_future<Builder::Plan> plan)
      : handle_(handle), ids_(graph.operands()), choice_(std::move(choice)), plan_(std::move(plan)) {
    workspace_bytes_ = workspace_bytes;
  }

  const EngineChoice& choice() const { return choice_; }

  void run(const ConvOperands& operands, void* workspace) override {
    require_context();
    const Builder::Plan& plan = plan_.get();
    if (!plan || plan->workspace_bytes() > workspace_bytes_)
      fail(ErrorKind::environment, "the plan cache in '" + plan_cache_folder().string() +
                                       "' does not fit this cuDNN: delete it and start again");
    std::array<void*, 8> pointers{};
    for (size_t i = 0; i < ids_.size(); ++i) pointers.at(i) = pointer(operands, ids_[i]);
    try {
      plan->run(handle_.get(), ids_, std::span(pointers).first(ids_.size()), workspace);
    } catch (const Error&) {
      require_intact_context();
      throw;
    }
  }

 private:
  static void* pointer(const ConvOperands& o, int64_t id) {
    switch (id) {
      case kSum:
        return o.sum;
      case kSquareSum:
        return o.square_sum;
      default:
        break;
    }
    const void* data = id == kX ? o.x : id == kFilter ? o.filter : id == kY ? o.y : id == kBias ? o.bias : o.residual;
    return const_cast<void*>(data);
  }

  const Handle& handle_;
  std::vector<int64_t> ids_;
  EngineChoice choice_;
  std::shared_future<Builder::Plan> plan_;
};

bool switched_off(const char* variable) {
  const char* value = std::getenv(variable);
  return value && std::string(value) == "off";
}

bool timing_wanted() { return !switched_off("DCL_CUDNN_TIMING"); }
bool statistics_wanted() { return timing_wanted() && !switched_off("DCL_CUDNN_STATISTICS"); }

}  // namespace

class ConvPlanner::Plans {
 public:
  explicit Plans(Context& context)
      : context_(context),
        handle_(context.stream()),
        cache_(timing_wanted() ? plan_cache_folder() : std::filesystem::path(),
               "cuDNN " + cudnn().version_text() + ", " + context.device().name) {}

  ConvPlan* find(const ConvPattern& pattern) {
    for (const auto& [known, plan] : plans_)
      if (known == pattern) return plan.get();
    // The gradient that is added takes the engine of the one that is not.
    CudnnPlan* twin = nullptr;
    if (pattern.add) {
      ConvPattern overwriting = pattern;
      overwriting.add = false;
      twin = static_cast<CudnnPlan*>(find(overwriting));
    }
    plans_.emplace_back(pattern, make(pattern, twin));
    return plans_.back().second.get();
  }

 private:
  std::unique_ptr<CudnnPlan> make(const ConvPattern& pattern, const CudnnPlan* twin) {
    require_context();
    const bool with_statistics = pattern.statistics_groups > 0;
    if (with_statistics && !statistics_wanted()) return nullptr;
    const Graph description = graph_of(pattern);
    const auto graph = std::make_shared<const OperationGraph>(description);
    const auto cached = cache_.find(key_text(pattern));
    if (cached && cached->choice.engine == kNoEngine) return nullptr;
    if (cached && cached->workspace_bytes <= kMostWorkspace)
      if (auto started = start(graph, cached->choice))
        return std::make_unique<CudnnPlan>(handle_, description, cached->choice, cached->workspace_bytes, *started);
    if (twin)
      if (const auto started = start(graph, twin->choice()))
        if (const Builder::Plan plan = started->get()) return keep(pattern, description, *started);
    auto chosen = choose(pattern, description, graph);
    if (!with_statistics || (chosen && pays(pattern, *chosen))) return chosen;
    cache_.store(key_text(pattern), {{kNoEngine, {}}, 0});
    return nullptr;
  }

  bool pays(const ConvPattern& pattern, ConvPlan& fused) {
    ConvDesc whole = pattern.conv;
    whole.n *= pattern.statistics_groups;
    ConvPlan* separate = find(pattern_of(whole, ConvPass::forward, Accum::overwrite, pattern.math));
    return separate && statistics_pay(context_, whole, pattern.statistics_groups, fused, *separate);
  }

  /// Nothing when this cuDNN does not know the engine for the graph.
  std::optional<std::shared_future<Builder::Plan>> start(const std::shared_ptr<const OperationGraph>& graph,
                                                         const EngineChoice& choice) {
    try {
      return builder_.start(graph, EngineConfig(*graph, builder_.device(), choice));
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::out_of_memory) throw;
      return {};
    }
  }

  std::unique_ptr<CudnnPlan> choose(const ConvPattern& pattern, const Graph& description,
                                    const std::shared_ptr<const OperationGraph>& graph) {
    std::vector<std::shared_future<Builder::Plan>> started;
    for (EngineConfig& config : candidates(*graph, builder_.device(), description.f32_products))
      started.push_back(builder_.start(graph, std::move(config)));
    std::vector<std::shared_future<Builder::Plan>> usable;
    std::vector<const ExecutionPlan*> plans;
    for (auto& future : started)
      if (const Builder::Plan& plan = future.get(); plan && plan->workspace_bytes() <= kMostWorkspace) {
        usable.push_back(future);
        plans.push_back(plan.get());
      }
    if (usable.empty()) return nullptr;
    if (!timing_wanted()) return keep(pattern, description, usable.front());
    std::string failure;
    const auto best = fastest_plan(context_, handle_.get(), description, plans, failure);
    if (best) return keep(pattern, description, usable[*best]);
    if (pattern.statistics_groups == 0)
      log(LogLevel::warning, "no engine for a convolution runs, the slow reference kernel serves it: " + failure);
    return nullptr;
  }

  std::unique_ptr<CudnnPlan> keep(const ConvPattern& pattern, const Graph& description,
                                  const std::shared_future<Builder::Plan>& plan) {
    const EngineChoice& choice = plan.get()->config().choice();
    const size_t bytes = plan.get()->workspace_bytes();
    cache_.store(key_text(pattern), {choice, bytes});
    return std::make_unique<CudnnPlan>(handle_, description, choice, bytes, plan);
  }

  Context& context_;
  Handle handle_;
  Builder builder_;
  PlanCache cache_;
  std::vector<std::pair<ConvPattern, std::unique_ptr<CudnnPlan>>> plans_;
};

ConvPlanner::ConvPlanner(Context& context) : plans_(std::make_unique<Plans>(context)) {}
ConvPlanner::~ConvPlanner() = default;

std::vector<std::pair<std::string, std::string>> ConvPlanner::libraries() const {
  return {{"cuDNN", cudnn().version_text()}};
}

ConvPlan* ConvPlanner::find(const ConvPattern& pattern) { return plans_->find(pattern); }

}  // namespace dcl::cuda
