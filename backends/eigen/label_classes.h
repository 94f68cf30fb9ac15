// The classes of a batch of images, for objectives that know labels.
#pragma once

#include <cstdint>
#include <span>

#include "core/extent.h"

namespace dcl {

class LabelClasses {
 public:
  /// Takes its memory, and uses it in find().
  LabelClasses(int64_t batch, Carver& memory);

  /// labels: [batch], negative where unknown: such an image is a class of its own.
  void find(const int32_t* labels);

  int64_t count() const { return count_; }
  int64_t of(int64_t image) const { return class_[image]; }
  /// Ascending.
  std::span<const int32_t> images(int64_t of_class) const {
    return {order_ + begin_[of_class], order_ + begin_[of_class + 1]};
  }
  int64_t size(int64_t of_class) const { return begin_[of_class + 1] - begin_[of_class]; }

 private:
  int64_t batch_, count_ = 0;
  int32_t* order_;  ///< images, class by class
  int32_t* begin_;  ///< [count + 1] of a class in order_
  int32_t* class_;  ///< of an image
};

}  // namespace dcl
