// What dcl-predict finds out about each image, as a table.
#pragma once

#include <array>
#include <filesystem>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "io/csv.h"
#include "train/classifier_file.h"

namespace dcl {

/// Takes the logits of one image after the other: a row of the table (row, name, class where it is known, then the
/// likeliest classes with their probabilities), and whether the class was found. Classes of the data set are those of
/// the classifier of the same name or, where its file has no names, of the same number.
class Predictions {
 public:
  /// top: classes a row. The table appears as `path` on commit(). The others must outlive this.
  Predictions(const std::filesystem::path& path, const Dataset& dataset, const Classifier& classifier, int64_t top);

  void add(std::span<const float> logits);
  /// As AtomicFile has them.
  void finish() { table_.finish(); }
  void commit() { table_.commit(); }

  int64_t images() const { return images_; }
  /// Images whose class is known and one of the classifier's: percentages are of them.
  int64_t known() const { return known_; }
  double top1() const { return percent(0); }
  double top5() const { return percent(1); }

 private:
  static constexpr std::array<int64_t, 2> kTops = {1, 5};
  double percent(size_t i) const { return 100.0 * static_cast<double>(hits_[i]) / static_cast<double>(known_); }

  const Dataset& dataset_;
  const Classifier& classifier_;
  std::vector<int32_t> numbers_;  ///< the classifier's, of each class of the data set
  size_t top_;
  CsvWriter table_;
  int64_t images_ = 0, known_ = 0;
  std::array<int64_t, 2> hits_{};
};

}  // namespace dcl
