#include "cuda/engine_candidates.h"

#include <algorithm>

namespace dcl::cuda {
namespace {

// Candidates of a graph, and those of them that are compiled. Those for f32 products, which tensor cores do not make,
// take longest to time by far.
constexpr size_t kMostTimed = 80, kMostTimedF32 = 12, kMostCompiled = 12;

std::vector<EngineConfig> admissible(const OperationGraph& graph, const DeviceProperties& device, bool f32_products) {
  std::vector<EngineConfig> configs;
  size_t compiled = 0;
  for (EngineConfig& config : propose_engines(graph, device)) {
    const EngineTraits traits = config.traits();
    if (configs.size() == (f32_products ? kMostTimedF32 : kMostTimed)) break;
    if (!is_admissible(traits, f32_products) || (traits.compiles && ++compiled > kMostCompiled)) continue;
    configs.push_back(std::move(config));
  }
  return configs;
}

bool all_are_compiled(const std::vector<EngineConfig>& configs) {
  return std::ranges::all_of(configs, [](const EngineConfig& config) { return config.traits().compiles; });
}

}  // namespace

EngineCandidates::EngineCandidates(PlanBuilder& builder, const ConvGraph& description,
                                   const std::optional<EngineChoice>& like)
    : builder_(builder),
      graph_(std::make_shared<const OperationGraph>(description)),
      f32_products_(description.f32_products) {
  if (!like || !start_like(*like)) next();
}

bool EngineCandidates::start_like(const EngineChoice& like) {
  std::optional<EngineConfig> config = find_engine(*graph_, builder_.device(), like);
  if (!config || !config->traits().compiles || !is_admissible(config->traits(), f32_products_)) return false;
  plans_.push_back(builder_.start(graph_, std::move(*config)));
  return true;
}

bool EngineCandidates::next() {
  std::vector<EngineConfig> configs =
      proposed_ ? std::move(rest_) : admissible(*graph_, builder_.device(), f32_products_);
  rest_.clear();
  if (!std::exchange(proposed_, true) && all_are_compiled(configs)) {
    std::vector<int64_t> engines;
    for (const EngineConfig& config : configs) engines.push_back(config.choice().engine);
    std::vector<EngineConfig> few;
    const std::vector<bool> worth = worth_compiling(engines);
    for (size_t i = 0; i < configs.size(); ++i) (worth[i] ? few : rest_).push_back(std::move(configs[i]));
    configs = std::move(few);
  }
  start(std::move(configs));
  return !plans_.empty();
}

void EngineCandidates::start(std::vector<EngineConfig> configs) {
  plans_.clear();
  for (EngineConfig& config : configs) plans_.push_back(builder_.start(graph_, std::move(config)));
}

}  // namespace dcl::cuda
