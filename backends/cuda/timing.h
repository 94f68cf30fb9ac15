// Timing of work on the device, for choices that depend on the device alone.
#pragma once

#include <functional>
#include <limits>
#include <string>

#include "cuda/context.h"

namespace dcl::cuda {

/// Memory for what is timed, zeroed.
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

constexpr int kRepeats = 7;  // of what is timed in earnest

/// The median device_time() of `repeats` runs after one that is not counted. When the first takes more than `most`, it
/// is the only one.
float median_time(Stream stream, std::string& failure, const std::function<void()>& run, int repeats = kRepeats,
                  float most = std::numeric_limits<float>::infinity());

/// How much less time a choice must take than the one before it.
constexpr float kClearlyFaster = 0.98f;

}  // namespace dcl::cuda
