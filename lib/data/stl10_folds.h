// STL-10's own protocol: ten predefined folds of its labelled training images, a classifier for each, every one tested
// on the whole test split, and the mean of their accuracies (https://cs.stanford.edu/~acoates/stl10/).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace dcl {

inline constexpr int64_t kStl10Folds = 10;

/// Indices of images, in the order of the file, none of them twice.
using Fold = std::vector<int32_t>;

/// The text of `fold_indices.txt`: a line for each fold, in it indices from 0 to images - 1 with blanks between them,
/// as many as in the first line. Error{data} naming `path`, line and what was expected.
std::vector<Fold> parse_stl10_folds(const std::string& path, std::string_view text, int64_t images);

/// The ten folds of the split `train` that load_dataset(spec) reads. Error{usage} for a `spec` of another data set or
/// split, or with a limit of images; Error{data} for a file that is missing or damaged. Folds of another size than the
/// published 1,000 images are a warning.
std::vector<Fold> load_stl10_folds(const DatasetSpec& spec);

}  // namespace dcl
