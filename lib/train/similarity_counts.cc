#include "train/similarity_counts.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace dcl {
namespace {

constexpr int64_t kMiddle = static_cast<int64_t>(1 / kSimilarityBin);

double value_of(int64_t bin) { return static_cast<double>(bin - kMiddle) * kSimilarityBin; }

}  // namespace

SimilarityCounts::SimilarityCounts() {
  for (auto& counts : counts_) counts = std::vector<std::atomic<int64_t>>(2 * kMiddle + 1);
}

void SimilarityCounts::add(bool same_class, float similarity) {
  const double clamped = std::clamp(double{similarity}, -1.0, 1.0);
  // Truncation of what is not negative, half a bin up: the nearest.
  const auto bin = static_cast<size_t>(clamped / kSimilarityBin + (static_cast<double>(kMiddle) + 0.5));
  counts_[same_class][bin].fetch_add(1, std::memory_order_relaxed);
}

int64_t SimilarityCounts::pairs(bool same_class) const {
  return std::accumulate(counts_[same_class].begin(), counts_[same_class].end(), int64_t{0});
}

std::array<double, kSimilarityQuantiles.size()> SimilarityCounts::quantiles(bool same_class) const {
  const auto& counts = counts_[same_class];
  const int64_t all = pairs(same_class);
  if (all == 0) fail(ErrorKind::internal, "quantiles of no similarities");
  int64_t bin = 0, up_to_bin = counts[0];   // pairs in the bins up to this one
  const auto ordered = [&](int64_t rank) {  // of ranks that do not fall
    while (up_to_bin <= rank) up_to_bin += counts[static_cast<size_t>(++bin)];
    return value_of(bin);
  };
  std::array<double, kSimilarityQuantiles.size()> out{};
  for (size_t i = 0; i < out.size(); ++i) {
    const double place = kSimilarityQuantiles[i] * static_cast<double>(all - 1);
    const auto below = static_cast<int64_t>(place);
    const double low = ordered(below);
    // Looks at the next value without moving there: the next quantile may begin at this rank, too.
    int64_t next = bin, up_to_next = up_to_bin;
    while (below + 1 < all && up_to_next <= below + 1) up_to_next += counts[static_cast<size_t>(++next)];
    out[i] = low + (place - static_cast<double>(below)) * (value_of(next) - low);
  }
  return out;
}

SimilarityCounts::Auc SimilarityCounts::auc() const {
  const double same = static_cast<double>(pairs(true)), different = static_cast<double>(pairs(false));
  if (same == 0 || different == 0) fail(ErrorKind::internal, "the AUC of one kind of pairs");
  // Shares instead of numbers: the product of two numbers of pairs may exceed 64 bits.
  double above = 0, tied = 0, below = 0;
  for (size_t bin = 0; bin < counts_[0].size(); ++bin) {
    const double s = static_cast<double>(counts_[1][bin].load()) / same,
                 d = static_cast<double>(counts_[0][bin].load()) / different;
    above += s * below;
    tied += s * d;
    below += d;
  }
  return {above + tied / 2, tied / 2};
}

}  // namespace dcl
