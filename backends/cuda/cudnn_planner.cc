// The planner that asks cuDNN. An engine is chosen once per pattern by timing what the heuristics propose, and
// remembered in the plan cache. The first run of a plan of a remembered choice waits until it is made.
#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "core/environment.h"
#include "core/log.h"
#include "cuda/composition_choice.h"
#include "cuda/conv_planner.h"
#include "cuda/engine_candidates.h"
#include "cuda/engine_trial.h"
#include "cuda/errors.h"
#include "cuda/plan_cache.h"
#include "cuda/trial_news.h"

namespace dcl::cuda {
namespace {

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

PlanBuilder builder_for_current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "the current GPU");
  // The current device is a thread's own; where that fails, so does what needs it.
  return PlanBuilder(DeviceProperties(device), [device] { cudaSetDevice(device); });
}

class CudnnPlan final : public ConvPlan {
 public:
  CudnnPlan(const Handle& handle, const ConvGraph& graph, size_t workspace_bytes,
            std::shared_future<PlanBuilder::Plan> plan)
      : handle_(handle), ids_(graph.operands()), plan_(std::move(plan)) {
    workspace_bytes_ = workspace_bytes;
  }

  void run(const ConvOperands& operands, void* workspace) override {
    require_context();
    const PlanBuilder::Plan& plan = plan_.get();
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
    const void* data = id == kX ? o.x : id == kFilter ? o.filter : id == kY ? o.y : id == kBias ? o.bias : o.residual;
    return const_cast<void*>(data);
  }

  const Handle& handle_;
  std::vector<int64_t> ids_;
  std::shared_future<PlanBuilder::Plan> plan_;
};

std::string name_of(const EngineChoice& choice) {
  std::string name = std::to_string(choice.engine);
  for (const auto& [type, value] : choice.knobs) name += " " + std::to_string(type) + "=" + std::to_string(value);
  return name;
}

bool timing_wanted() { return environment_variable("DCL_CUDNN_TIMING") != "off"; }

}  // namespace

class ConvPlanner::Plans {
 public:
  explicit Plans(Context& context)
      : context_(context),
        handle_(context.stream()),
        builder_(builder_for_current_device()),
        cache_(timing_wanted() ? plan_cache_folder() : std::filesystem::path(),
               "cuDNN " + cudnn().version_text() + ", " + context.device().name),
        news_(cache_.file()) {}

  ConvPlan* find(const ConvPattern& pattern) {
    for (const auto& [known, plan] : plans_)
      if (known == pattern) return plan.get();
    plans_.emplace_back(pattern, make(pattern));
    return plans_.back().second.get();
  }

  void expect(const ConvPattern& pattern) {
    const std::string key = key_text(pattern);
    const bool known = std::any_of(plans_.begin(), plans_.end(), [&](const auto& p) { return p.first == pattern; });
    if (known || cache_.find(key)) return;
    if (!expected_.contains(key)) expected_.emplace(key, candidates(key, graph_of(pattern)));
    if (const auto alone = composition_wanted(pattern)) expect(*alone);
  }

 private:
  struct Chosen {
    std::unique_ptr<CudnnPlan> plan;  ///< null: none
    CachedPlan choice;
    bool known = false;  ///< by trial: it may be remembered, also that there is none
  };

  /// A convolution on another batch or extent has the same engine's knobs: among those of an embedding that made 1 % of
  /// its time, and saves compiling all but one.
  EngineCandidates candidates(const std::string& key, const ConvGraph& description) {
    const auto like = cache_.nearest([&](std::string_view other) { return key_distance(key, other); });
    return {builder_, description, like ? std::optional(like->choice) : std::nullopt};
  }

  /// The convolution that a pattern is timed against when the rest is added by a pass.
  static std::optional<ConvPattern> composition_wanted(const ConvPattern& pattern) {
    if (!timing_wanted() || pattern.pass != ConvPass::forward) return {};
    return convolution_alone(pattern);
  }

  std::unique_ptr<CudnnPlan> make(const ConvPattern& pattern) {
    require_context();
    const std::string key = key_text(pattern);
    const ConvGraph description = graph_of(pattern);
    const auto cached = cache_.find(key);
    if (cached)
      if (auto plan = plan_of(pattern, description, *cached)) return std::move(*plan);
    Chosen chosen = choose(pattern, key, description);
    judge_composition(pattern, chosen);
    if (chosen.known) {
      const CachedPlan kept = cache_.store(key, chosen.choice, cached);
      if (kept != chosen.choice)  // another process was earlier
        if (auto plan = plan_of(pattern, description, kept)) return std::move(*plan);
    }
    return std::move(chosen.plan);
  }

  /// With engines that cuDNN compiles for f32 and a residual, an embedding of 512 images took 391 ms; its convolutions
  /// alone take 43. None is chosen where a pass for the rest is faster: what has none is composed.
  void judge_composition(const ConvPattern& pattern, Chosen& chosen) {
    const auto alone = composition_wanted(pattern);
    if (!chosen.plan || !chosen.known || !alone) return;
    ConvPlan* convolution = find(*alone);
    if (!convolution) return;
    const auto times = time_composition(context_, pattern, *chosen.plan, *convolution);
    if (times && times->composition_pays()) {
      news_.composed(key_text(pattern), times->whole, times->parts);
      chosen = none(true);
    }
    chosen.known = times.has_value();
  }

  /// A remembered choice, perhaps that none is taken; nothing when it is of no use here.
  std::optional<std::unique_ptr<CudnnPlan>> plan_of(const ConvPattern& pattern, const ConvGraph& description,
                                                    const CachedPlan& cached) {
    if (cached.choice.engine == kNoEngine) return nullptr;
    if (cached.workspace_bytes > most_workspace(pattern)) return {};
    const auto started = start(description, cached.choice);
    if (!started) return {};
    return std::make_unique<CudnnPlan>(handle_, description, cached.workspace_bytes, *started);
  }

  /// Nothing when this cuDNN does not know the engine for the graph.
  std::optional<std::shared_future<PlanBuilder::Plan>> start(const ConvGraph& description, const EngineChoice& choice) {
    auto graph = std::make_shared<const OperationGraph>(description);
    std::optional<EngineConfig> config = find_engine(*graph, builder_.device(), choice);
    if (!config) return {};
    return builder_.start(std::move(graph), std::move(*config));
  }

  bool may_be_tried(const ConvPattern& pattern, const std::string& key, const ExecutionPlan& plan) const {
    return plan.workspace_bytes() <= most_workspace(pattern) && !cache_.is_barred(key, plan.config().choice());
  }

  Chosen choose(const ConvPattern& pattern, const std::string& key, const ConvGraph& description) {
    auto expected = expected_.extract(key);
    EngineCandidates all = expected ? std::move(expected.mapped()) : candidates(key, description);
    std::string failure = "cuDNN has none for " + key;
    do {
      if (std::optional<Chosen> chosen = choose(pattern, key, description, all.plans(), failure)) {
        chosen->choice.inherited = all.inherited();
        return std::move(*chosen);
      }
    } while (all.next());
    log(LogLevel::info, "no engine runs " + key + ": " + failure);
    return none(true);  // a start that tried again would take as long, and might end otherwise
  }

  /// Among engines whose plans are under way; nothing, and why, where none of them serves.
  std::optional<Chosen> choose(const ConvPattern& pattern, const std::string& key, const ConvGraph& description,
                               std::span<const std::shared_future<PlanBuilder::Plan>> futures, std::string& failure) {
    std::vector<CachedPlan> choices;
    std::vector<std::unique_ptr<CudnnPlan>> plans;
    std::vector<Engine> engines;
    for (const auto& future : futures)
      if (const PlanBuilder::Plan& plan = future.get(); plan && may_be_tried(pattern, key, *plan)) {
        choices.push_back({plan->config().choice(), plan->workspace_bytes()});
        plans.push_back(std::make_unique<CudnnPlan>(handle_, description, plan->workspace_bytes(), future));
        engines.push_back({name_of(choices.back().choice), plans.back().get()});
      }
    if (engines.empty()) return {};
    TrialReport report{.failure = failure, .last = {}};
    std::optional<EngineVerdict> best;
    try {
      if (timing_wanted()) news_.begin();
      best = (timing_wanted() ? fastest_engine : first_engine)(context_, pattern, engines, report);
    } catch (const Error& error) {
      if (context_lost() && report.last) bar(key, choices[*report.last].choice, error);
      throw;
    }
    // Engines that round what should stay f32 are no news.
    if (!description.f32_products)
      for (const TrialReport::Rejection& r : report.rejected)
        news_.passed_over(choices[r.engine].choice.engine, engines[r.engine].name, r.why, key);
    failure = report.failure;
    if (!best) return {};
    return Chosen{std::move(plans[best->engine]), choices[best->engine], best->tried};
  }

  static Chosen none(bool known) { return {.plan = nullptr, .choice = {{kNoEngine, {}}, 0}, .known = known}; }

  /// An engine after which CUDA is of no use to this process must not end the next one, too.
  [[noreturn]] void bar(const std::string& key, const EngineChoice& engine, const Error& error) {
    const std::string who = "engine " + name_of(engine) + " of cuDNN, tried for " + key + ": " + error.what();
    fail(error.kind(), who + (cache_.bar(key, engine) ? "; it is not tried again: give the same command once more"
                                                      : "; without a plan cache it is tried again at the next start"));
  }

  Context& context_;
  Handle handle_;
  PlanBuilder builder_;
  PlanCache cache_;
  TrialNews news_;
  std::map<std::string, EngineCandidates> expected_;
  std::vector<std::pair<ConvPattern, std::unique_ptr<CudnnPlan>>> plans_;
};

// Without cuDNN, nothing is found.
ConvPlanner::ConvPlanner(Context& context)
    : plans_(environment_variable("DCL_CUDNN") == "off" ? nullptr : std::make_unique<Plans>(context)) {}
ConvPlanner::~ConvPlanner() = default;

std::vector<std::pair<std::string, std::string>> ConvPlanner::libraries() const {
  return {{"cuDNN", plans_ ? cudnn().version_text() : "off"}};
}

ConvPlan* ConvPlanner::find(const ConvPattern& pattern) { return plans_ ? plans_->find(pattern) : nullptr; }
void ConvPlanner::expect(const ConvPattern& pattern) {
  if (plans_) plans_->expect(pattern);
}

}  // namespace dcl::cuda
