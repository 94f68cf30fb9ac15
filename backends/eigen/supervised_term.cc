#include "eigen/supervised_term.h"

#include <algorithm>

#include "core/parallel.h"
#include "eigen/dot.h"

namespace dcl {
namespace {

constexpr int64_t kGrain = 128;  // images of one piece

}  // namespace

template <class T>
SupervisedTerm<T>::SupervisedTerm(const ObjectiveDesc& d, Carver& memory)
    : d_(d), biased_(contrastive_settings(d)), pieces_(ceil_div(d.batch, kGrain)), classes_(d.batch, memory) {
  sums_ = memory.take<double>(d.batch * d.dim);
  parts_ = memory.take<SupervisedSums>(pieces_);
}

template <class T>
void SupervisedTerm<T>::add(const T* z, const int32_t* labels, double* result, T* dz) {
  z_ = z;
  classes_.find(labels);
  parallel_for(classes_.count(), [&](int64_t of_class) { sum_class(of_class); });
  parallel_for(pieces_, [&](int64_t piece) {
    SupervisedSums sums;
    for (int64_t image = piece * kGrain; image < std::min(d_.batch, (piece + 1) * kGrain); ++image)
      sums.add(add_image(image, dz));
    parts_[piece] = sums;
  });
  SupervisedSums total;
  for (int64_t piece = 0; piece < pieces_; ++piece) total.add(parts_[piece]);
  add_supervised(total, biased_, result);
}

template <class T>
void SupervisedTerm<T>::sum_class(int64_t of_class) {
  double* sum = sums_ + of_class * d_.dim;
  std::fill_n(sum, d_.dim, 0.0);
  for (const int32_t image : classes_.images(of_class)) {
    const T *one = row(image), *other = row(image + d_.batch);
    for (int64_t k = 0; k < d_.dim; ++k) sum[k] += static_cast<double>(one[k]) + static_cast<double>(other[k]);
  }
}

/// Both of its anchors. Where the pair is the only positive, they stay those of `biased` to the bit.
template <class T>
SupervisedSums SupervisedTerm<T>::add_image(int64_t image, T* dz) const {
  const int64_t of_class = classes_.of(image), size = classes_.size(of_class);
  if (size == 1) {
    const double pair = dot(row(image), row(image + d_.batch), d_.dim);
    return {2 * pair, 2 * pair, 2 * pair, 2};
  }
  const double* sum = sums_ + of_class * d_.dim;
  const double positives = static_cast<double>(2 * size - 1), pull = supervised_pull(biased_);
  SupervisedSums sums;
  for (const int64_t anchor : {image, image + d_.batch}) {
    const T *own = row(anchor), *pair = row(2 * image + d_.batch - anchor);
    const double cosines = dot(own, sum, d_.dim) - dot(own, own, d_.dim);
    sums.add({dot(own, pair, d_.dim), cosines / positives, cosines, positives});
    if (!dz) continue;
    T* to = dz + anchor * d_.dim;
    for (int64_t k = 0; k < d_.dim; ++k) {
      const double mean_positive = (sum[k] - static_cast<double>(own[k])) / positives;
      to[k] = static_cast<T>(static_cast<double>(to[k]) + pull * (static_cast<double>(pair[k]) - mean_positive));
    }
  }
  return sums;
}

template class SupervisedTerm<float>;
template class SupervisedTerm<double>;

}  // namespace dcl
