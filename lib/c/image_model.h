// A model from a file, applied to images in memory: what is behind the C interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend.h"
#include "data/dataset.h"
#include "train/classifier_file.h"
#include "train/features.h"

namespace dcl {

/// Images of one extent, each [h, w, 3] of 8-bit RGB, `row_stride` bytes from row to row, h * row_stride from image to
/// image.
struct ImagesInMemory {
  const uint8_t* pixels = nullptr;
  int64_t count = 0, h = 0, w = 0, row_stride = 0;
};

struct ImageModelOptions {
  std::string device = "auto", dtype = "f32", normalization = "auto", prefix;
  int64_t eval_size = 0;  ///< 0: that of the classifier's test where the file says it; kOwnSize: the images' own
  int64_t batch = 64;     ///< images in the network at a time

  static constexpr int64_t kOwnSize = -1;
};

class ImageModel {
 public:
  /// From any file that map_state understands, with a classifier or without.
  ImageModel(const std::filesystem::path& path, const ImageModelOptions& options);

  int64_t dim() const { return dim_; }
  const std::vector<std::string>& classes() const { return model_.classes; }
  /// 0: images are taken as they are.
  int64_t eval_size() const { return eval_size_; }
  const std::string& device() const { return device_; }

  /// out: [count, dim()]. Error{numerical} naming the image when a feature is not finite.
  void embed(const ImagesInMemory& images, bool unit_length, float* out);
  /// out: [count, classes]; Error{data} without a classifier.
  void classify(const ImagesInMemory& images, bool as_probabilities, float* out);

 private:
  /// Network and room for passes over such images; kept while they stay the same.
  void prepare(const ImagesInMemory& images);
  /// sink(features [n, dim], first) of consecutive groups of images.
  template <class Sink>
  void for_each_pass(const ImagesInMemory& images, Sink&& sink);

  std::unique_ptr<Backend> backend_;
  Classifier model_;
  std::string device_;
  DType dtype_;
  AugmentDesc pixels_;
  int64_t eval_size_, most_, dim_;
  Dataset pass_;  ///< the images of a pass
  std::vector<int32_t> indices_;
  std::optional<FeatureExtractor> extractor_;
  std::optional<FeatureExtractor::Reader> reader_;  ///< of pass_
  std::optional<LinearClassifier> linear_;
};

}  // namespace dcl
