// Times of an operation and the memory that it takes.
#pragma once

#include <vector>

#include "ops.h"

namespace dcl::bench {

/// A figure of /proc/self/status such as "VmHWM", bytes; 0 where there is none.
double process_memory(const std::string& key);

/// Growth of memory since it was made: on a device what is less free, else that of the process to its highest point.
class MemoryGrowth {
 public:
  explicit MemoryGrowth(const Backend& backend);
  double bytes() const;

 private:
  const Backend& backend_;
  size_t free_before_;
  double before_ = 0;
};

/// Before memory is measured: a GPU's kernels take some when they are first launched.
void launch_once(Backend& backend, const Operation& operation);

struct Measurement {
  std::vector<double> seconds;  ///< of one run, by each sample
  double mebibytes = 0;         ///< MemoryGrowth

  double median() const;
  /// Of the samples; 0 of one.
  double standard_deviation() const;
};

/// `samples` means of as many runs as take a while, after runs in which the backend prepares itself. On a device
/// nothing is waited for within a sample.
Measurement measure(Backend& backend, const Operation& operation, int samples);

/// The sum over a network's operations, each `count` times: sample by sample. All have the same number of samples;
/// memory is that of the largest.
Measurement network_sum(const std::vector<std::pair<Operation, Measurement>>& parts);

}  // namespace dcl::bench
