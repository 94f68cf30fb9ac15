// What the objective `supcon` has beside `biased` (core/objective_form.h), in O(B D).
#pragma once

#include "core/extent.h"
#include "core/objective_form.h"
#include "eigen/label_classes.h"

namespace dcl {

template <class T>
class SupervisedTerm {
 public:
  /// Takes its memory, and uses it in add().
  SupervisedTerm(const ObjectiveDesc& d, Carver& memory);

  /// To the result and the gradient of `biased`. labels: [batch], negative where unknown; dz may be null.
  void add(const T* z, const int32_t* labels, double* result, T* dz);

 private:
  const T* row(int64_t anchor) const { return z_ + anchor * d_.dim; }
  void sum_class(int64_t of_class);
  SupervisedSums add_image(int64_t image, T* dz) const;

  ObjectiveDesc d_;
  ContrastiveSettings<double> biased_;
  int64_t pieces_;
  LabelClasses classes_;
  double* sums_ = nullptr;           ///< [classes, dim] of the anchors of a class
  SupervisedSums* parts_ = nullptr;  ///< of runs of images
  const T* z_ = nullptr;
};

}  // namespace dcl
