// Which of cuDNN's engines are tried for an operation graph, in which order: compiling one takes a second of a core.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "cuda/plan_builder.h"

namespace dcl::cuda {

class EngineCandidates {
 public:
  /// Begins to make the plans to try at first: that of `like` alone, the choice for a convolution like this one, if it
  /// is an engine that is compiled; else of engines whose results may be trusted (is_admissible), few where all of them
  /// are compiled.
  EngineCandidates(PlanBuilder& builder, const ConvGraph& description, const std::optional<EngineChoice>& like);

  const std::shared_ptr<const OperationGraph>& graph() const { return graph_; }
  /// Under way; null where an engine cannot serve after all.
  const std::vector<std::shared_future<PlanBuilder::Plan>>& plans() const { return plans_; }
  /// Whether plans() is that of `like`.
  bool inherited() const { return !proposed_; }
  /// When none of plans() serves: begins with others in their place. False: there are none.
  bool next();

 private:
  bool start_like(const EngineChoice& like);
  void start(std::vector<EngineConfig> configs);

  PlanBuilder& builder_;
  std::shared_ptr<const OperationGraph> graph_;
  bool f32_products_, proposed_ = false;
  std::vector<EngineConfig> rest_;
  std::vector<std::shared_future<PlanBuilder::Plan>> plans_;
};

}  // namespace dcl::cuda
