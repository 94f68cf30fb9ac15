// Memory for everything that a pattern reads and writes, for plans that are tried.
#pragma once

#include <vector>

#include "cuda/conv_samples.h"
#include "cuda/timing.h"

namespace dcl::cuda {

class SampleOperands {
 public:
  /// The residual, if there is one, lies where the result goes: so networks have it, and it is the harder case.
  SampleOperands(Context& context, const ConvPattern& pattern);
  /// All of them, the result included: what a plan adds to.
  void fill(Operands numbers);
  const ConvOperands& operands() const { return operands_; }
  /// What a plan writes.
  TensorRef result() const { return result_; }

 private:
  void* tensor(Shape shape, DType dtype, bool is_result);

  Context& context_;
  std::vector<DeviceBlock> blocks_;
  std::vector<TensorRef> tensors_;
  TensorRef result_;
  ConvOperands operands_;
};

}  // namespace dcl::cuda
