// A pattern that the library has nothing for as a whole, or nothing as fast: its convolution by itself, and a pass over
// the result.
#pragma once

#include "cuda/conv_planner.h"

namespace dcl::cuda {

class ComposedPlan final : public ConvPlan {
 public:
  /// convolution: the plan of convolution_alone(whole), outliving this.
  ComposedPlan(Context& context, const ConvPattern& whole, ConvPlan& convolution);
  void run(const ConvOperands& operands, void* workspace) override;

 private:
  Context& context_;
  ConvPattern whole_;
  ConvPlan& convolution_;
  size_t result_bytes_;  ///< of the convolution's result, at the start of the workspace
};

}  // namespace dcl::cuda
