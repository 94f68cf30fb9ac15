// What audit() keeps of the pairs it sees. Private to lib/train.
#pragma once

#include <algorithm>
#include <span>
#include <tuple>
#include <vector>

#include "train/audit.h"

namespace dcl {

/// The k most similar images of each image; of equally similar ones those with smaller numbers. What is kept does not
/// depend on the order in which they come.
class Neighbours {
 public:
  struct Neighbour {
    float similarity;
    int32_t image;
  };

  Neighbours(int64_t images, int64_t k)
      : k_(k), entries_(static_cast<size_t>(images * k)), found_(static_cast<size_t>(images)) {}

  /// One thread at a time for an image.
  void offer(int64_t image, Neighbour other) {
    Neighbour* const begin = entries_.data() + image * k_;
    int32_t& found = found_[static_cast<size_t>(image)];
    if (found == k_) {
      if (!nearer(other, *begin)) return;
      std::pop_heap(begin, begin + found, nearer);
      --found;
    }
    begin[found++] = other;
    std::push_heap(begin, begin + found, nearer);
  }

  /// In no order.
  std::span<const Neighbour> of(int64_t image) const {
    return {entries_.data() + image * k_, static_cast<size_t>(found_[static_cast<size_t>(image)])};
  }

 private:
  static bool nearer(const Neighbour& x, const Neighbour& y) {
    return x.similarity != y.similarity ? x.similarity > y.similarity : x.image < y.image;
  }

  int64_t k_;
  std::vector<Neighbour> entries_;  ///< [images, k]: heaps, the farthest first
  std::vector<int32_t> found_;
};

/// The `most` nearest pairs of all that are added, in the order of Audit::pairs.
class NearestPairs {
 public:
  explicit NearestPairs(int64_t most) : most_(static_cast<size_t>(most)) {}

  void add(const NearPair& pair) {
    if (full_ && !before(pair, last_)) return;
    pairs_.push_back(pair);
    if (pairs_.size() >= 2 * most_ + kSpare) shrink();
  }

  std::vector<NearPair> take() {
    std::sort(pairs_.begin(), pairs_.end(), before);
    pairs_.resize(std::min(pairs_.size(), most_));
    return std::move(pairs_);
  }

 private:
  static constexpr size_t kSpare = 1024;

  static bool before(const NearPair& x, const NearPair& y) {
    return std::tuple(-x.similarity, !x.identical, x.between, x.a, x.b) <
           std::tuple(-y.similarity, !y.identical, y.between, y.a, y.b);
  }
  /// Pairs behind the last one that is kept cannot come back.
  void shrink() {
    std::nth_element(pairs_.begin(), pairs_.begin() + static_cast<std::ptrdiff_t>(most_), pairs_.end(), before);
    last_ = pairs_[most_];
    full_ = true;
    pairs_.resize(most_);
  }

  size_t most_;
  bool full_ = false;
  NearPair last_;
  std::vector<NearPair> pairs_;
};

}  // namespace dcl
