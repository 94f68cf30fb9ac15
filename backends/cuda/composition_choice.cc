#include "cuda/composition_choice.h"

#include <algorithm>

#include "cuda/composed_plan.h"
#include "cuda/sample_operands.h"

namespace dcl::cuda {

std::optional<CompositionTimes> time_composition(Context& context, const ConvPattern& pattern, ConvPlan& whole,
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
    return CompositionTimes{time(whole), time(composed)};
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    return {};
  }
}

}  // namespace dcl::cuda
