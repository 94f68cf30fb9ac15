// Labels of which a part is missing or wrong, for an objective that knows them: an experiment's stand-in for the labels
// that people give. Drawn from seed and image number alone (math/philox.h), so that they are the same in every epoch
// and batch, on any number of threads, and after an interruption.
#pragma once

#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace dcl {

struct LabelSettings {
  double noise = 0;     ///< in [0, 1): how likely a label is another class, each of the others equally
  double fraction = 1;  ///< in (0, 1]: share of the labels of each class that is known
  /// Labels as the data set has them.
  bool whole() const { return noise == 0 && fraction == 1; }
  bool operator==(const LabelSettings&) const = default;
};

/// Throws Error{usage} naming the setting, its value and its range.
void check(const LabelSettings& settings);

struct KnownLabels {
  std::vector<int32_t> labels;  ///< [images], kUnknownLabel where not known
  int64_t labelled = 0;         ///< images with a label in the data set
  int64_t known = 0;            ///< of these, with one here
  int64_t changed = 0;          ///< of these, with another one
  /// Two labelled images of one class have the same label here; two that have the same label here are of different
  /// classes. Shares of such pairs, 0 where there are none.
  double pairs_told = 0, pairs_wrong = 0;
};

/// Of a class of n images fraction * n, rounded, are known, whatever the noise: those with the lowest of a random
/// number each. Both settings name growing sets: what is known or changed at one value is so at every larger one, and
/// to the same other class. Error{usage} where there is no other class, or no label is left.
KnownLabels known_labels(const Dataset& dataset, const LabelSettings& settings, uint64_t seed);

}  // namespace dcl
