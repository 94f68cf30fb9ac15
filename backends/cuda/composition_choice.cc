#include "cuda/composition_choice.h"

#include <algorithm>
#include <cstdio>

#include "core/log.h"
#include "cuda/composed_plan.h"
#include "cuda/sample_operands.h"

namespace dcl::cuda {
namespace {

std::string milliseconds(float time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f ms", static_cast<double>(time));
  return text;
}

}  // namespace

std::optional<bool> composition_pays(Context& context, const ConvPattern& pattern, ConvPlan& whole,
                                     ConvPlan& convolution) {
  try {
    ComposedPlan composed(context, pattern, convolution);
    SampleOperands samples(context, pattern);
    samples.fill(Operands::fractions);
    const DeviceBlock workspace(std::max(whole.workspace_bytes(), composed.workspace_bytes()), context.stream());
    std::string failure;
    const auto time = [&](ConvPlan& plan) {
      return median_time(context.stream(), failure, [&] { plan.run(samples.operands(), workspace.data()); });
    };
    const float together = time(whole), apart = time(composed);
    if (!(apart < together * kClearlyFaster)) return false;
    log(LogLevel::info, "the best engine for " + key_text(pattern) + " takes " + milliseconds(together) +
                            ", the convolution and a pass " + milliseconds(apart));
    return true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    return {};
  }
}

}  // namespace dcl::cuda
