// Filter gradient as one matrix product, for processors that multiply bf16 by tiles (AMX):
//   dfilter [k, r s c] = dy^T [k, pixels] columns [pixels, r s c],
// where a pixel's row of columns holds the window of x it comes from. A pointwise convolution of stride 1 has x itself
// for columns; others gather them, some images at a time. oneDNN's convolutions reach a tenth of its products there.
#pragma once

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
  void gather(const uint16_t* x, int64_t first_image, uint16_t* columns) const;

  ConvDesc d_;
  int threads_;
  bool gathers_;
  int64_t images_;  ///< of one product; divides the batch
  Execution overwriting_, adding_;
  size_t columns_bytes_ = 0;
};

}  // namespace dcl::onednn
