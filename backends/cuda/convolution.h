// Convolutions of the backend; contracts at Backend::conv_*. Patterns are what the planner's library takes; this brings
// filters into the type of the activations and filter gradients back to f32. What the library does not take as a whole
// is composed, and what it does not take at all is left to the reference kernels.
#pragma once

#include "core/backend.h"
#include "cuda/conv_planner.h"

namespace dcl::cuda {

class Convolutions {
 public:
  explicit Convolutions(Context& context) : context_(context), planner_(context) {}

  /// What they are computed with, beside the kernels here.
  std::vector<std::pair<std::string, std::string>> libraries() const { return planner_.libraries(); }

  void expect(std::span<const ConvUse> uses, F32Math);
  size_t workspace(const ConvDesc&, ConvPass, F32Math);
  void forward(const ConvDesc&, F32Math, ConstTensorRef x, ConstTensorRef filter, TensorRef y, Workspace);
  void backward_data(const ConvDesc&, F32Math, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx, Accum,
                     Workspace);
  void backward_filter(const ConvDesc&, F32Math, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter, Accum,
                       Workspace);
  /// A packed filter is the filter in the type of the activations.
  size_t packed_filter_bytes(const FusedConvDesc&) const;
  void pack_filter(const FusedConvDesc&, ConstTensorRef filter, TensorRef packed);
  size_t fused_workspace(const FusedConvDesc&, F32Math);
  void fused(const FusedConvDesc&, F32Math, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
             ConstTensorRef residual, TensorRef y, Workspace);

 private:
  /// What serves a pattern; null: the reference kernels have to.
  ConvPlan* plan_of(const ConvPattern&);
  /// The filter as plans take it: itself, or rounded to bf16 at the start of the workspace.
  const void* typed_filter(const ConvDesc&, ConstTensorRef filter, void* workspace);
  /// The filter as the reference kernels take it: itself, or widened to f32 in scratch memory.
  ConstTensorRef wide_filter(ConstTensorRef filter);

  Context& context_;
  ConvPlanner planner_;
  std::vector<std::pair<ConvPattern, std::unique_ptr<ConvPlan>>> composed_;  ///< what the planner finds nothing for
};

}  // namespace dcl::cuda
