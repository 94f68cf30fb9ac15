// Makes cuDNN's plans on threads, since some are compiled, for a second each.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda/cudnn_descriptors.h"

namespace dcl::cuda {

class PlanBuilder {
 public:
  /// Null when the engine cannot serve after all.
  using Plan = std::shared_ptr<ExecutionPlan>;

  /// enter: what a thread does before it makes plans for the device.
  PlanBuilder(DeviceProperties device, std::function<void()> enter);
  /// Waits for plans under way; those that were not begun are given up.
  ~PlanBuilder();
  PlanBuilder(const PlanBuilder&) = delete;
  PlanBuilder& operator=(const PlanBuilder&) = delete;

  const DeviceProperties& device() const { return device_; }
  std::shared_future<Plan> start(std::shared_ptr<const OperationGraph> graph, EngineConfig config);

 private:
  void work();

  DeviceProperties device_;
  std::function<void()> enter_;
  size_t most_threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<Plan()>> waiting_;
  size_t idle_ = 0;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace dcl::cuda
