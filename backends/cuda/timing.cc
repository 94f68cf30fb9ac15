#include "cuda/timing.h"

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "cuda/errors.h"
#include "math/bfloat16.h"

namespace dcl::cuda {
namespace {

class TimedEvent {
 public:
  TimedEvent() { check(cudaEventCreate(&event_), "creating an event"); }
  ~TimedEvent() { cudaEventDestroy(event_); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

template <class T>
void fill_with_random(TensorRef values, Stream stream) {
  std::mt19937 random(1);
  std::vector<T> first(static_cast<size_t>(std::min<int64_t>(values.shape.elements(), 1 << 18)));
  for (T& value : first) value = T(static_cast<float>(static_cast<uint32_t>(random())) * 0x1p-31f - 1);
  size_t done = first.size() * sizeof(T);
  copy_to_device(values.data, first.data(), done, stream);
  for (; done < values.bytes(); done += std::min(done, values.bytes() - done))
    copy_on_device(static_cast<char*>(values.data) + done, values.data, std::min(done, values.bytes() - done), stream);
}

}  // namespace

void fill_random(TensorRef values, Stream stream) {
  values.dtype == DType::bf16 ? fill_with_random<bf16>(values, stream) : fill_with_random<float>(values, stream);
}

DeviceBlock random_block(int64_t count, DType dtype, Stream stream) {
  DeviceBlock block(static_cast<size_t>(count) * size_of(dtype), stream);
  fill_random({block.data(), {count}, dtype}, stream);
  return block;
}

float median_time(Stream stream, std::string& failure, const std::function<void()>& run, int repeats, float most) {
  const TimedEvent begin, end;
  const auto time_once = [&] {
    check(cudaEventRecord(begin.get(), stream), "recording an event");
    run();
    check(cudaEventRecord(end.get(), stream), "recording an event");
    check(cudaEventSynchronize(end.get()), "timing a convolution");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "reading a time");
    return milliseconds;
  };
  std::vector<float> times;
  try {
    if (const float first = time_once(); first > most) return first;
    for (int i = 0; i < repeats; ++i) times.push_back(time_once());
  } catch (const Error& error) {
    require_intact_context();
    failure = error.what();
    return std::numeric_limits<float>::infinity();
  }
  const auto middle = times.begin() + repeats / 2;
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace dcl::cuda
