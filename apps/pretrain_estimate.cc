#include "pretrain_estimate.h"

#include <fmt/format.h>

#include <string>

#include "run/console.h"

namespace dcl {
namespace {

/// In the unit that says it best.
std::string duration(double seconds) {
  if (seconds < 1) return fmt::format("{:.1f} ms", 1e3 * seconds);
  if (seconds < 100) return fmt::format("{:.1f} s", seconds);
  if (seconds < 100 * 60) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds < 100 * 3600) return fmt::format("{:.1f} h", seconds / 3600);
  return fmt::format("{:.1f} days", seconds / 86400);
}

std::string mebibytes(double bytes) { return fmt::format("{:.0f} MiB", bytes / (1 << 20)); }

void print_line(const char* what, const std::string& value) { print(fmt::format("{:<12}{}\n", what, value)); }

}  // namespace

void print_estimate(const RunEstimate& e, const PretrainSettings& settings) {
  print_line("steps", fmt::format("{} an epoch, {} in all", e.steps_per_epoch, e.steps));
  print_line("step", fmt::format("{}, {:.1f} images/s; {:.3g} TFLOP of convolutions, {:.3g} TFLOP/s (mean of {} steps)",
                                 duration(e.step_seconds), static_cast<double>(settings.batch) / e.step_seconds,
                                 1e-12 * e.step_flops, 1e-12 * e.step_flops / e.step_seconds, e.timed_steps));
  print_line("memory",
             mebibytes(static_cast<double>(e.memory)) +
                 (e.free_memory > 0 ? ", and " + mebibytes(static_cast<double>(e.free_memory)) + " are left" : ""));
  print_line("training", duration(static_cast<double>(e.steps) * e.step_seconds));
  if (e.monitors > 0)
    print_line("kNN", fmt::format("{}: {} of {} images, {} each",
                                  duration(static_cast<double>(e.monitors) * e.monitor_seconds), e.monitors,
                                  e.monitor_images, duration(e.monitor_seconds)));
  const auto checkpoint = static_cast<double>(e.checkpoint_bytes);
  print_line("disk", fmt::format("{}: {} checkpoints of {}", mebibytes(checkpoint * static_cast<double>(e.checkpoints)),
                                 e.checkpoints, mebibytes(checkpoint)));
  print_line("in all", duration(e.seconds()));
}

}  // namespace dcl
