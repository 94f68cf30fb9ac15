// STL-10 binary (https://cs.stanford.edu/~acoates/stl10/): uint8 images of 3 planes of 96 columns of 96 rows;
// labels 1..10.
#include "core/error.h"
#include "data/readers.h"

namespace dcl {
namespace {

constexpr int32_t kSide = 96;
constexpr int32_t kClasses = 10;

void unpack(const uint8_t* planes, uint8_t* hwc) {
  constexpr int kPlane = kSide * kSide;
  for (int row = 0; row < kSide; ++row) {
    for (int col = 0; col < kSide; ++col) {
      const uint8_t* pixel = planes + col * kSide + row;
      *hwc++ = pixel[0];
      *hwc++ = pixel[kPlane];
      *hwc++ = pixel[2 * kPlane];
    }
  }
}

constexpr RecordFormat kFormat{0, kSide, kSide, unpack};

struct Part {
  const char* split;
  const char* images;
  const char* labels;  ///< null: unlabelled
  int64_t count;       ///< as published
};
constexpr Part kTrain{"train", "train_X.bin", "train_y.bin", 5000};
constexpr Part kUnlabeled{"unlabeled", "unlabeled_X.bin", nullptr, 100000};
constexpr Part kTest{"test", "test_X.bin", "test_y.bin", 8000};

std::vector<Part> parts_of(const std::string& split) {
  if (split == "train") return {kTrain};
  if (split == "unlabeled") return {kUnlabeled};
  if (split == "train+unlabeled") return {kTrain, kUnlabeled};
  if (split == "test") return {kTest};
  fail(ErrorKind::usage, "stl10 has no split '" + split + "'; it has train, unlabeled, train+unlabeled, test");
}

void append_labels(const std::string& path, int64_t published, const RecordFile& records,
                   std::vector<int32_t>& labels) {
  const auto file = open_data_file("stl10", path, published);
  if (file->size() != records.count) {
    fail(ErrorKind::data, "stl10: " + quoted(path) + " has " + std::to_string(file->size()) +
                              " labels (bytes), expected " + std::to_string(records.count) + " as " +
                              quoted(records.file->path()) + " holds that many images");
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(records.count));
  file->read(0, bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] < 1 || bytes[i] > kClasses) {
      fail(ErrorKind::data, "stl10: " + quoted(path) + " has label " + std::to_string(bytes[i]) + " at byte " +
                                std::to_string(i) + ", expected 1..10: the file is damaged");
    }
    labels.push_back(bytes[i] - 1);
  }
}

}  // namespace

Dataset load_stl10(const DatasetSpec& spec) {
  const auto path = [&](const char* name) { return data_path(spec.dir, "stl10_binary", name); };
  std::vector<RecordFile> files;
  std::vector<int32_t> labels;
  Dataset out;
  for (const Part& part : parts_of(spec.split)) {
    files.push_back(
        open_records("stl10", path(part.images), part.count * kFormat.image_bytes(), kFormat, part.split, 0));
    if (part.labels != nullptr) {
      append_labels(path(part.labels), part.count, files.back(), labels);
      out.classes = class_names(path("class_names.txt"), kClasses,
                                {"airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"});
    } else {
      labels.resize(labels.size() + static_cast<size_t>(files.back().count), kUnknownLabel);
    }
  }
  read_records(spec, kFormat, files, labels, out);
  return out;
}

}  // namespace dcl
