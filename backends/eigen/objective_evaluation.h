// One evaluation of the contrastive objective in O(B D) memory. The similarity matrix is symmetric, so only tiles on
// and above its diagonal are computed, each twice: once for the row sums, once for the gradient.
#pragma once

#include <algorithm>

#include "core/extent.h"
#include "core/ops.h"
#include "eigen/kernels/contrastive.h"
#include "eigen/label_classes.h"
#include "math/contrastive.h"

namespace dcl {

/// In T, float or double; sums over rows are kept in double. Anchors are the rows of views 0 and 1.
template <class T>
class ObjectiveEvaluation {
 public:
  /// Takes its memory, and uses it in run().
  ObjectiveEvaluation(const ObjectiveDesc& d, Carver& memory);

  /// As Backend::objective; dz may be null.
  void run(const T* z, const int32_t* labels, double* result, T* dz);

 private:
  int64_t begin(int64_t block) const { return block * block_; }
  int64_t rows_of(int64_t block) const { return std::min(block_, anchors_ - begin(block)); }
  const T* row(int64_t index) const { return z_ + index * d_.dim; }
  const T* view_row(int64_t view, int64_t image) const { return row(view * d_.batch + image); }

  void pack();
  void find_classes(const int32_t* labels);
  void find_positives();
  kernels::SimilarityTile<T> similarities(int64_t i, int64_t j) const;
  T* beside(const kernels::SimilarityTile<T>& tile) const { return tile.s + block_ * tile.ld; }
  void forward(int64_t i, int64_t j);
  void finish_rows();
  void report(double* result) const;
  void backward(int64_t i, int64_t j, T* dz) const;
  void add_positive_gradients(T* dz) const;

  ObjectiveDesc d_;
  ContrastiveSettings<double> settings_;
  int64_t anchors_, block_, blocks_;
  int64_t a_block_ = 0, bt_block_ = 0, b_block_ = 0;  // elements of one block's packed forms
  T *packed_a_ = nullptr, *packed_bt_ = nullptr;      // Z and its transpose, for the cosines
  T* packed_b_ = nullptr;                             // Z as the right factor of the gradient
  T *negative_ = nullptr, *importance_ = nullptr;     // gradient weights, as ContrastiveRow
  LabelClasses classes_;
  T* class_ = nullptr;  // of an anchor, as the tiles compare them
  ContrastiveSums<double>* sums_ = nullptr;
  ContrastiveRow<double>* rows_ = nullptr;
  double *weighted_ = nullptr, *importance_sum_ = nullptr;  // of ContrastiveSums, contiguous
  double* cosine_ = nullptr;                                // of each anchor and its pair
  double* exponential_ = nullptr;                           // [views - 2, anchors]: e^x of the extra positives
  double* block_cosines_ = nullptr;                         // of the anchors of a block and their negatives
  const T* z_ = nullptr;
};

}  // namespace dcl
