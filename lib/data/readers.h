// The readers behind load_dataset, and what they share.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/file.h"
#include "data/dataset.h"

namespace dcl {

/// Positions that holdout, max_per_class and max_images leave, ascending. Error{usage} when holdout or max_per_class
/// meets no label at all.
std::vector<int64_t> select_images(const DatasetSpec& spec, std::span<const int32_t> labels);

/// Fixed-size records of the binary distributions: some label bytes, then the pixels.
struct RecordFormat {
  int64_t label_bytes = 0;
  int32_t height = 0, width = 0;
  /// Planes of one image, as in the file, to HWC.
  void (*unpack)(const uint8_t* planes, uint8_t* hwc) = nullptr;

  int64_t image_bytes() const { return int64_t{3} * height * width; }
  int64_t record_bytes() const { return label_bytes + image_bytes(); }
};

/// Consecutive images of one split; image i of the file is called "split/first+i".
struct RecordFile {
  std::string split;
  int64_t first = 0;
  std::unique_ptr<InputFile> file;
  int64_t count = 0;
};

/// `dir`/`folder`/`name` when that folder exists, else `dir`/`name`.
std::string data_path(const std::string& dir, const std::string& folder, const std::string& name);

/// Error{data} with how to get it when `set` has no file `path`.
void require_data_file(const std::string& set, const std::string& path);

/// Opens `path` for `set`, which must be there. When the size differs from `published_bytes`
/// (of the original distribution) this is logged as a warning.
std::unique_ptr<InputFile> open_data_file(const std::string& set, const std::string& path, int64_t published_bytes);

/// The same for records; Error{data} when the file is empty or its size is not a multiple of the record.
RecordFile open_records(const std::string& set, const std::string& path, int64_t published_bytes,
                        const RecordFormat& format, const std::string& split, int64_t first);

/// Fills pixels, images, labels and names from the files' records; labels has one entry per record of all files.
void read_records(const DatasetSpec& spec, const RecordFormat& format, std::span<const RecordFile> files,
                  std::span<const int32_t> labels, Dataset& out);

/// Names from the file at `path` when it exists (exactly `count`, or Error{data}), else `fallback`.
std::vector<std::string> class_names(const std::string& path, size_t count, std::vector<std::string> fallback);

Dataset load_stl10(const DatasetSpec& spec);
Dataset load_cifar10(const DatasetSpec& spec);
Dataset load_cifar100(const DatasetSpec& spec);
Dataset load_folder(const DatasetSpec& spec);
Dataset load_shapes(const DatasetSpec& spec);

}  // namespace dcl
