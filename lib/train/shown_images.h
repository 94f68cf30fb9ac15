// Images that are shown one by one: browsers show about ten thousand points well; of a larger data set that many are
// taken, evenly.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace dcl {

class ShownImages {
 public:
  static constexpr int64_t kMost = 10'000;

  /// Of `size` images.
  explicit ShownImages(int64_t size) {
    const int64_t count = std::min(size, kMost);
    for (int64_t i = 0; i < count; ++i) images_.push_back(static_cast<int32_t>(i * size / count));
  }

  /// Ascending.
  const std::vector<int32_t>& images() const { return images_; }
  int64_t count() const { return static_cast<int64_t>(images_.size()); }

  /// use(row [dim]) for those that are shown of the next images, whose features are rows [count, dim]; in the order of
  /// the data set.
  template <class Use>
  void take(std::span<const float> rows, int64_t dim, Use&& use) {
    for (; !rows.empty(); rows = rows.subspan(static_cast<size_t>(dim)), ++seen_) {
      if (complete() || images_[taken_] != seen_) continue;
      use(rows.first(static_cast<size_t>(dim)));
      ++taken_;
    }
  }
  /// Whether all of them were taken.
  bool complete() const { return taken_ == images_.size(); }

 private:
  std::vector<int32_t> images_;
  size_t taken_ = 0;  ///< of images_
  int64_t seen_ = 0;  ///< images whose features were given
};

}  // namespace dcl
