// Features as TensorBoard's embedding projector reads them: vectors, names and classes, thumbnails.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "core/backend.h"
#include "data/dataset.h"
#include "io/atomic_file.h"
#include "train/shown_images.h"

namespace dcl {

/// Writes FOLDER/features.tsv, metadata.tsv, sprite.png and projector_config.pbtxt, of ShownImages.
class ProjectorWriter {
 public:
  /// Makes the folder when it is missing. Error{io}, here and below. The data set must outlive the writer.
  ProjectorWriter(const std::filesystem::path& folder, const Dataset& dataset, int64_t dim);

  /// Features [count, dim] of the next images of the data set, in its order.
  void append(std::span<const float> rows);
  /// After the features of all images. Files appear whole, the configuration last.
  void commit(Backend& backend);

  int64_t points() const { return shown_.count(); }

 private:
  void write_metadata() const;

  std::filesystem::path folder_;
  const Dataset& dataset_;
  int64_t dim_;
  ShownImages shown_;
  AtomicFile features_;
};

}  // namespace dcl
