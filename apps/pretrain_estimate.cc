#include "pretrain_estimate.h"

#include <cstdio>
#include <string>

namespace dcl {
namespace {

template <class... Values>
std::string text(const char* format, Values... values) {
  char line[256];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

/// In the unit that says it best.
std::string duration(double seconds) {
  if (seconds < 1) return text("%.1f ms", 1e3 * seconds);
  if (seconds < 100) return text("%.1f s", seconds);
  if (seconds < 100 * 60) return text("%.0f min", seconds / 60);
  if (seconds < 100 * 3600) return text("%.1f h", seconds / 3600);
  return text("%.1f days", seconds / 86400);
}

std::string mebibytes(double bytes) { return text("%.0f MiB", bytes / (1 << 20)); }

void print(const char* what, const std::string& value) { std::printf("%-12s%s\n", what, value.c_str()); }

}  // namespace

void print_estimate(const RunEstimate& e, const PretrainSettings& settings) {
  const auto count = [](int64_t number) { return static_cast<long long>(number); };
  print("steps", text("%lld an epoch, %lld in all", count(e.steps_per_epoch), count(e.steps)));
  print("step", text("%s, %.1f images/s; %.3g TFLOP of convolutions, %.3g TFLOP/s (mean of %lld steps)",
                     duration(e.step_seconds).c_str(), static_cast<double>(settings.batch) / e.step_seconds,
                     1e-12 * e.step_flops, 1e-12 * e.step_flops / e.step_seconds, count(e.timed_steps)));
  print("memory",
        mebibytes(static_cast<double>(e.memory)) +
            (e.free_memory > 0 ? ", and " + mebibytes(static_cast<double>(e.free_memory)) + " are left" : ""));
  print("training", duration(static_cast<double>(e.steps) * e.step_seconds));
  if (e.monitors > 0)
    print("kNN", text("%s: %lld of %lld images, %s each",
                      duration(static_cast<double>(e.monitors) * e.monitor_seconds).c_str(), count(e.monitors),
                      count(e.monitor_images), duration(e.monitor_seconds).c_str()));
  print("disk", text("%s: %lld checkpoints of %s",
                     mebibytes(static_cast<double>(e.checkpoint_bytes) * static_cast<double>(e.checkpoints)).c_str(),
                     count(e.checkpoints), mebibytes(static_cast<double>(e.checkpoint_bytes)).c_str()));
  print("in all", duration(e.seconds()));
}

}  // namespace dcl
