// Filter gradient as one matrix product, for processors that multiply bf16 by tiles (AMX):
//   dfilter [k, r s c] = dy^T [k, pixels] columns [pixels, r s c].
// oneDNN's convolutions reach a tenth of its products there.
#pragma once

#include "onednn/columns.h"
#include "onednn/conv_plans.h"
#include "onednn/execution.h"

namespace dcl::onednn {

class MatrixBackwardFilter final : public BackwardFilterPlan {
 public:
  /// Whether the product, columns included, takes less time than the convolutions there are.
  static bool pays(const ConvDesc& d);
  /// Throws NotFast where oneDNN has no fast product.
  MatrixBackwardFilter(const ConvDesc& d, int threads);
  void run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) override;

 private:
  ConvDesc d_;
  int threads_;
  Columns columns_;
  Execution overwriting_, adding_;
};

}  // namespace dcl::onednn
