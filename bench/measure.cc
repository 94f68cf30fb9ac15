#include "measure.h"

#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <string>

#include "math/sample.h"
#include "timing.h"

namespace dcl::bench {
namespace {

constexpr double kSampleSeconds = 0.02;  // long beside what waiting for a device and reading the clock take
constexpr double kMostRuns = 1000;       // in a sample
constexpr double kMebibyte = 1 << 20;

}  // namespace

double process_memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key + ":")) return std::stod(line.substr(key.size() + 1)) * 1024;
  return 0;
}

MemoryGrowth::MemoryGrowth(const Backend& backend) : backend_(backend), free_before_(backend.free_memory()) {
  malloc_trim(0);                               // what was freed is taken anew
  std::ofstream("/proc/self/clear_refs") << 5;  // the highest point begins anew
  before_ = process_memory("VmRSS");
}

double MemoryGrowth::bytes() const {
  if (backend_.on_device()) return static_cast<double>(free_before_) - static_cast<double>(backend_.free_memory());
  return process_memory("VmHWM") - before_;
}

double Measurement::median() const {
  std::vector<double> sorted = seconds;
  std::ranges::sort(sorted);
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Measurement::standard_deviation() const { return seconds.size() < 2 ? 0 : sample_deviation(seconds); }

void launch_once(Backend& backend, const Operation& operation) {
  if (!backend.on_device()) return;
  operation.prepare(backend)();
  backend.synchronize();
}

Measurement measure(Backend& backend, const Operation& operation, int samples) {
  launch_once(backend, operation);
  const MemoryGrowth growth(backend);
  Run run = operation.prepare(backend);
  run();
  backend.synchronize();
  std::unique_ptr<StepGraph> graph;
  if (operation.recorded) graph = backend.capture(run);
  const auto seconds_of_runs = [&](int runs) {
    return seconds_of([&] {
      for (int i = 0; i < runs; ++i) graph ? graph->replay() : run();
      backend.synchronize();
    });
  };
  const double once = seconds_of_runs(1);  // the second run, in which a step is recorded
  const double again = std::min(once, seconds_of_runs(1));
  const int runs = static_cast<int>(std::clamp(std::ceil(kSampleSeconds / again), 1.0, kMostRuns));
  Measurement result;
  for (int i = 0; i < samples; ++i) result.seconds.push_back(seconds_of_runs(runs) / runs);
  result.mebibytes = std::max(0.0, growth.bytes()) / kMebibyte;
  return result;
}

Measurement network_sum(const std::vector<std::pair<Operation, Measurement>>& parts) {
  Measurement sum;
  for (const auto& [operation, part] : parts) {
    sum.seconds.resize(part.seconds.size());
    for (size_t i = 0; i < part.seconds.size(); ++i) sum.seconds[i] += operation.count * part.seconds[i];
    sum.mebibytes = std::max(sum.mebibytes, part.mebibytes);
  }
  return sum;
}

}  // namespace dcl::bench
