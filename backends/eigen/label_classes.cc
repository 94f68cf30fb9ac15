#include "eigen/label_classes.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace dcl {

LabelClasses::LabelClasses(int64_t batch, Carver& memory)
    : batch_(batch),
      order_(memory.take<int32_t>(batch)),
      begin_(memory.take<int32_t>(batch + 1)),
      class_(memory.take<int32_t>(batch)) {}

void LabelClasses::find(const int32_t* labels) {
  std::iota(order_, order_ + batch_, 0);
  std::sort(order_, order_ + batch_,
            [&](int32_t a, int32_t b) { return std::pair(labels[a], a) < std::pair(labels[b], b); });
  count_ = 0;
  for (int32_t i = 0; i < batch_; ++i) {
    const int32_t label = labels[order_[i]];
    if (i == 0 || label < 0 || label != labels[order_[i - 1]]) begin_[count_++] = i;
    class_[order_[i]] = static_cast<int32_t>(count_ - 1);
  }
  begin_[count_] = static_cast<int32_t>(batch_);
}

}  // namespace dcl
