#include "cuda/timing.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "math/bfloat16.h"

namespace dcl::cuda {
namespace {

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
  const float first = device_time(stream, run, failure);
  if (first > most || !std::isfinite(first)) return first;
  std::vector<float> times;
  for (int i = 0; i < repeats; ++i) times.push_back(device_time(stream, run, failure));
  const auto middle = times.begin() + repeats / 2;
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace dcl::cuda
