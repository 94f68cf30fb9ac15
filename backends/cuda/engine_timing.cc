#include "cuda/engine_timing.h"

#include <algorithm>
#include <limits>
#include <random>

#include "core/log.h"
#include "cuda/errors.h"

namespace dcl::cuda {
namespace {

constexpr int kRepeats = 7;
constexpr float kClearlyFaster = 0.98f;

class DeviceBlock {
 public:
  DeviceBlock(size_t bytes, Stream stream) : data_(bytes ? allocate(bytes, stream) : nullptr) {}
  ~DeviceBlock() { release(data_); }
  DeviceBlock(DeviceBlock&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  DeviceBlock& operator=(DeviceBlock&&) = delete;
  void* data() const { return data_; }

 private:
  void* data_;
};

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "creating an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Numbers in (-1, 1): zeros would run faster than what comes later.
template <class T>
std::vector<T> random_values(int64_t count) {
  std::mt19937 random(1);
  std::vector<T> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(T(static_cast<float>(random()) * 0x1p-31f - 1));
  return values;
}

template <class T>
void fill_random(void* data, int64_t count, Stream stream) {
  const std::vector<T> first = random_values<T>(std::min<int64_t>(count, 1 << 18));
  size_t done = first.size() * sizeof(T);
  const size_t bytes = static_cast<size_t>(count) * sizeof(T);
  copy_to_device(data, first.data(), done, stream);
  for (; done < bytes; done += std::min(done, bytes - done))
    copy_on_device(static_cast<char*>(data) + done, data, std::min(done, bytes - done), stream);
}

DeviceBlock operand(const GraphTensor& t, Stream stream) {
  int64_t count = 1;
  for (const int64_t extent : t.dims) count *= extent;
  DeviceBlock block(static_cast<size_t>(count) * size_of(t.dtype), stream);
  if (t.dtype == DType::bf16)
    fill_random<bf16>(block.data(), count, stream);
  else
    fill_random<float>(block.data(), count, stream);
  return block;
}

/// The median of a few runs, in milliseconds; infinite, and why, when the plan does not run.
template <class Run>
float median_time(Stream stream, std::string& failure, Run&& run) {
  const Event begin, end;
  std::vector<float> times;
  try {
    run();
    for (int i = 0; i < kRepeats; ++i) {
      check(cudaEventRecord(begin.get(), stream), "recording an event");
      run();
      check(cudaEventRecord(end.get(), stream), "recording an event");
      check(cudaEventSynchronize(end.get()), "timing a convolution");
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "reading a time");
      times.push_back(milliseconds);
    }
  } catch (const Error& error) {
    require_intact_context();
    failure = error.what();
    return std::numeric_limits<float>::infinity();
  }
  std::nth_element(times.begin(), times.begin() + kRepeats / 2, times.end());
  return times[kRepeats / 2];
}

}  // namespace

std::optional<size_t> fastest_plan(Context& context, cudnnHandle_t handle, const Graph& graph,
                                   std::span<const ExecutionPlan* const> plans) {
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
  std::string failure;
  float least = std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < plans.size(); ++i) {
    const float time =
        median_time(context.stream(), failure, [&] { plans[i]->run(handle, ids, pointers, blocks.back().data()); });
    if (time < least * kClearlyFaster) best = i, least = time;
  }
  synchronize(context.stream());
  if (!best)
    log(LogLevel::warning, "no engine for a convolution runs, the slow reference kernel serves it: " + failure);
  return best;
}

}  // namespace dcl::cuda
