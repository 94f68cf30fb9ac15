// Cosine similarities of pairs of images, of one class and of different classes, counted in bins: what their quantiles
// and the area under the ROC curve are computed from, without keeping the pairs.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

namespace dcl {

/// Quantiles of similarities, linear between the ordered values (numpy.quantile).
inline constexpr std::array kSimilarityQuantiles = {0.05, 0.25, 0.5, 0.75, 0.95};

/// Bins are kSimilarityBin wide and centred on the multiples of it, so that equal similarities share one although their
/// sums are rounded: a quantile is off by at most half of it.
inline constexpr double kSimilarityBin = 0x1p-20;

/// Counts in 32 MiB, whatever the number of pairs.
class SimilarityCounts {
 public:
  SimilarityCounts();

  /// One pair; what is beyond [-1, 1] counts as the end. Any thread, in any order: the counts are the same.
  void add(bool same_class, float similarity);

  int64_t pairs(bool same_class) const;
  /// Of at least one pair.
  std::array<double, kSimilarityQuantiles.size()> quantiles(bool same_class) const;

  /// How likely a pair of one class is more similar than a pair of different classes, equal ones counted as half:
  /// sklearn.metrics.roc_auc_score.
  struct Auc {
    double value = 0;
    double error = 0;  ///< at most: half the share of such couples of pairs that lie in one bin
  };
  /// Where there are pairs of both kinds.
  Auc auc() const;

 private:
  std::array<std::vector<std::atomic<int64_t>>, 2> counts_;  ///< [same class]
};

}  // namespace dcl
