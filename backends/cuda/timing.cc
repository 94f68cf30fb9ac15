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
std::vector<T> random_values(int64_t count, Numbers numbers) {
  std::mt19937 random(1);
  std::vector<T> values;
  for (int64_t i = 0; i < count; ++i) {
    const auto drawn = static_cast<uint32_t>(random());
    values.push_back(
        T(numbers == Numbers::integers ? static_cast<float>(drawn % 5) - 2 : static_cast<float>(drawn) * 0x1p-31f - 1));
  }
  return values;
}

template <class T>
void fill_random(void* data, int64_t count, Numbers numbers, Stream stream) {
  const std::vector<T> first = random_values<T>(std::min<int64_t>(count, 1 << 18), numbers);
  size_t done = first.size() * sizeof(T);
  const size_t bytes = static_cast<size_t>(count) * sizeof(T);
  copy_to_device(data, first.data(), done, stream);
  for (; done < bytes; done += std::min(done, bytes - done))
    copy_on_device(static_cast<char*>(data) + done, data, std::min(done, bytes - done), stream);
}

}  // namespace

DeviceBlock random_block(int64_t count, DType dtype, Stream stream, Numbers numbers) {
  DeviceBlock block(static_cast<size_t>(count) * size_of(dtype), stream);
  dtype == DType::bf16 ? fill_random<bf16>(block.data(), count, numbers, stream)
                       : fill_random<float>(block.data(), count, numbers, stream);
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
