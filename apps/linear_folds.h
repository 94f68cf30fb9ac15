// --folds of dcl-linear: which of the predefined folds are trained on, and what their classifiers say together.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/stl10_folds.h"
#include "train/linear.h"

namespace dcl {

/// Folds to train a classifier on each; none: one classifier on all training images.
struct FoldChoice {
  std::vector<int64_t> numbers;  ///< from 0
  std::vector<Fold> images;      ///< of each, indices into the training images
};

/// `text`: "all", numbers from 0 with commas between them, or nothing. Error{usage} for another text, and as
/// load_stl10_folds.
FoldChoice choose_folds(const std::string& text, const DatasetSpec& spec);

/// Of several classifiers' figures in percent.
struct Spread {
  double mean = 0;
  std::optional<double> deviation;  ///< sample standard deviation (n - 1), from two figures on

  std::string text() const;  ///< "79.31%", "79.31% +- 0.52%"
};
Spread spread_of(std::span<const double> figures);

/// What the last epochs of all classifiers say: of one alone, or of one for each fold of `choice`.
struct LinearFigures {
  LinearFigures(const FoldChoice& choice, const std::vector<LinearResult>& results);

  Spread top1, top5;
  nlohmann::ordered_json
      json;  ///< top1, top5, loss; of folds the means, with top1_std, top5_std and each fold's figures
};

}  // namespace dcl
