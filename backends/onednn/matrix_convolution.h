// Convolutions as one matrix product, for processors that multiply bf16 by tiles (AMX):
//   y [pixels, k] = columns [pixels, r s c] filter [r s c, k],
//   dcolumns [pixels, r s c] = dy [pixels, k] filter [k, r s c], where dx is dcolumns itself or their sums.
// oneDNN's convolutions fill the sixteen rows of a tile with pixels of one row of an image, of which few images have as
// many, and spend their time between tiles where channels are few.
#pragma once

#include "onednn/columns.h"
#include "onednn/conv_plans.h"
#include "onednn/execution.h"

namespace dcl::onednn {

/// Whether the product, columns included, takes less time than oneDNN's convolution for inference, or than its gradient
/// of data. Does not depend on the batch size.
bool product_pays(const ConvDesc& d);

/// What happens to a product before it is rounded and stored.
struct Epilogue {
  bool bias = false, relu = false;
  Residual residual = Residual::none;
};

/// y = epilogue(columns(x) filter) in bf16, sums in f32.
class Product {
 public:
  using Layout = dnnl::memory::desc;
  /// filter: how it comes, of [r s c, k]. Throws NotFast where oneDNN has no fast product.
  Product(const ConvDesc& d, const Layout& filter, Epilogue epilogue, int threads);

  size_t workspace_bytes() const { return workspace_bytes_; }
  void run(const void* x, const void* filter, const float* bias, const void* residual, void* y, void* workspace);

 private:
  int64_t batch_, y_elements_;  ///< elements of an image
  int threads_;
  Epilogue epilogue_;
  Columns columns_;
  Execution execution_;
  FilterReorder reorder_;
  size_t workspace_bytes_ = 0;
};

/// A filter as it is kept, f32 KRSC, as a matrix [r s c, k].
Product::Layout plain_matrix(const ConvDesc& d);
/// The layout that the product likes best.
Product::Layout packed_matrix(const ConvDesc& d, Epilogue epilogue, int threads);

class MatrixForward final : public ForwardPlan {
 public:
  /// Of few pixels only: with nothing to add before y is stored, oneDNN's convolutions of many are as fast.
  static bool pays(const ConvDesc& d);
  MatrixForward(const ConvDesc& d, int threads);
  void run(const void* x, const void* filter, void* y, void* workspace) override {
    product_.run(x, filter, nullptr, nullptr, y, workspace);
  }

 private:
  Product product_;
};

/// Of pointwise convolutions of stride 1, whose dx is dcolumns.
class PointwiseBackwardData final : public BackwardDataPlan {
 public:
  PointwiseBackwardData(const ConvDesc& d, int threads);
  void run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace) override {
    (accum == Accum::add ? adding_ : overwriting_).run(dy, filter, nullptr, dx, dx, workspace);
  }

 private:
  Product overwriting_, adding_;
};

/// Of the others.
class FoldedBackwardData final : public BackwardDataPlan {
 public:
  FoldedBackwardData(const ConvDesc& d, int threads);
  void run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace) override;

 private:
  int64_t batch_, dy_elements_;  ///< elements of an image
  int threads_;
  Columns columns_;
  size_t columns_bytes_;  ///< of f32
  Execution execution_;
  FilterReorder reorder_;
};

/// Null where product_pays() says no.
std::unique_ptr<BackwardDataPlan> matrix_backward_data(const ConvDesc& d, int threads);

class MatrixFused final : public FusedForm {
 public:
  /// packed: the filter's layout.
  MatrixFused(const FusedConvDesc& d, const Product::Layout& packed, Epilogue epilogue, int threads);
  void run(const void* x, const void* packed, const float* bias, const void* residual, void* y,
           void* workspace) override {
    product_.run(x, packed, bias, residual, y, workspace);
  }

 private:
  Product product_;
};

}  // namespace dcl::onednn
