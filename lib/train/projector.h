// Features as TensorBoard's embedding projector reads them: vectors, names and classes, thumbnails.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "core/backend.h"
#include "data/dataset.h"
#include "io/atomic_file.h"

namespace dcl {

/// Writes FOLDER/features.tsv, metadata.tsv, sprite.png and projector_config.pbtxt. The projector shows about ten
/// thousand points well; of a larger data set that many are taken, evenly.
class ProjectorWriter {
 public:
  /// Makes the folder when it is missing. Error{io}, here and below. The data set must outlive the writer.
  ProjectorWriter(const std::filesystem::path& folder, const Dataset& dataset, int64_t dim);

  /// Features [count, dim] of the next images of the data set, in its order.
  void append(std::span<const float> rows);
  /// After the features of all images. Files appear whole, the configuration last.
  void commit(Backend& backend);

  int64_t points() const { return static_cast<int64_t>(images_.size()); }

 private:
  void write_metadata() const;

  std::filesystem::path folder_;
  const Dataset& dataset_;
  int64_t dim_;
  std::vector<int32_t> images_;  ///< those that are shown, ascending
  size_t written_ = 0;           ///< of images_
  int64_t seen_ = 0;             ///< images whose features were given
  AtomicFile features_;
};

}  // namespace dcl
