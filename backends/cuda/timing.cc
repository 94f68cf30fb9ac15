#include "cuda/timing.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace dcl::cuda {
float median_time(Stream stream, std::string& failure, const std::function<void()>& run, int repeats, float most) {
  const float first = device_time(stream, run, failure);
  if (first > most || !std::isfinite(first)) return first;
  std::vector<float> times;
  for (int i = 0; i < repeats; ++i) {
    times.push_back(device_time(stream, run, failure));
    if (!std::isfinite(times.back())) return times.back();
  }
  const auto middle = times.begin() + repeats / 2;
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace dcl::cuda
