#include "cuda/plan_builder.h"

#include <algorithm>

namespace dcl::cuda {
namespace {

constexpr size_t kMostThreads = 64;

}  // namespace

PlanBuilder::PlanBuilder(DeviceProperties device, std::function<void()> enter)
    : device_(std::move(device)),
      enter_(std::move(enter)),
      most_threads_(std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kMostThreads)) {}

PlanBuilder::~PlanBuilder() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    waiting_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::shared_future<PlanBuilder::Plan> PlanBuilder::start(std::shared_ptr<const OperationGraph> graph,
                                                         EngineConfig config) {
  auto plan = std::make_shared<ExecutionPlan>(std::move(graph), std::move(config), device_);
  std::packaged_task<Plan()> task([plan] { return plan->finalize() == CUDNN_STATUS_SUCCESS ? plan : nullptr; });
  std::shared_future<Plan> future = task.get_future().share();
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(task));
  if (waiting_.size() > idle_ && threads_.size() < most_threads_) threads_.emplace_back([this] { work(); });
  changed_.notify_one();
  return future;
}

void PlanBuilder::work() {
  enter_();
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    changed_.wait(lock, [this] { return ended_ || !waiting_.empty(); });
    --idle_;
    if (ended_) return;
    std::packaged_task<Plan()> task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace dcl::cuda
