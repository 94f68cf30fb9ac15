// Sets of features for the tests of audit().
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "math/philox.h"
#include "train/audit.h"
#include "train/features.h"

namespace dcl::test {

/// Features of unit length with labels and contents, which are all different at first.
struct Set {
  int64_t dim = 1;
  std::vector<float> features;
  std::vector<int32_t> labels, contents;

  int64_t size() const { return std::ssize(labels); }
  AuditSet view() const { return {tensor_of(features.data(), {size(), dim}), labels, contents}; }
  double similarity(int64_t i, const Set& other, int64_t j) const {
    double sum = 0;
    for (int64_t d = 0; d < dim; ++d)
      sum +=
          double{features[static_cast<size_t>(i * dim + d)]} * double{other.features[static_cast<size_t>(j * dim + d)]};
    return sum;
  }
};

enum class Kind {
  uniform,  ///< all similarities differ
  tied,     ///< similarities are multiples of 1/4, exact in f32
};

inline Set make_set(Kind kind, int64_t images, int64_t dim, int32_t classes, uint32_t which, double unlabelled = 0) {
  RandomStream stream(47, RandomPurpose::test, which);
  Set set{.dim = kind == Kind::tied ? 4 : dim};
  for (int64_t i = 0; i < images * set.dim; ++i)
    set.features.push_back(kind == Kind::tied ? (stream.below(2) ? 0.5f : -0.5f)
                                              : static_cast<float>(stream.uniform(-0.3, 1)));
  if (kind == Kind::tied)
    for (int64_t i = 0; i < images; i += 3) {  // some along an axis
      std::fill_n(set.features.begin() + i * 4, 4, 0.0f);
      set.features[static_cast<size_t>(i * 4) + stream.below(4)] = 1;
    }
  normalize_rows(set.features, set.dim);
  for (int64_t i = 0; i < images; ++i) {
    const auto label = static_cast<int32_t>(stream.below(static_cast<uint64_t>(classes)));
    set.labels.push_back(stream.uniform(0, 1) < unlabelled ? kUnknownLabel : label);
  }
  set.contents.resize(static_cast<size_t>(images));
  std::iota(set.contents.begin(), set.contents.end(), static_cast<int32_t>(which) * 100000);
  return set;
}

}  // namespace dcl::test
