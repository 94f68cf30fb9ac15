#include "c/image_model.h"

#include <algorithm>
#include <cstring>

#include "augment/augment.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/registry.h"

namespace dcl {
namespace {

/// Room for so many images.
Dataset room_for(int64_t count, int64_t h, int64_t w) {
  Dataset dataset;
  dataset.name = "images in memory";
  const int64_t bytes = 3 * h * w;
  dataset.pixels.resize(count * bytes);
  for (int64_t i = 0; i < count; ++i)
    dataset.images.push_back({i * bytes, static_cast<int32_t>(h), static_cast<int32_t>(w)});
  dataset.labels.assign(dataset.images.size(), kUnknownLabel);
  dataset.names.resize(dataset.images.size());
  return dataset;
}

/// `count` images from `first` on, without what lies between rows.
void copy_pixels(const ImagesInMemory& from, int64_t first, int64_t count, Dataset& to) {
  const int64_t row = 3 * from.w;
  parallel_for(count * from.h, [&](int64_t y) {
    std::memcpy(to.pixels.data() + y * row, from.pixels + (first * from.h + y) * from.row_stride,
                static_cast<size_t>(row));
  });
}

}  // namespace

ImageModel::ImageModel(const std::filesystem::path& path, const ImageModelOptions& options)
    : backend_(open_backend(options.device, options.dtype)),
      model_(load_any_model(*backend_, path, options.prefix)),
      device_(backend_->info().name),
      dtype_(precision_of(options.dtype).activations),
      pixels_{.normalization = normalization_of(normalization_for(options.normalization, model_.metadata))},
      eval_size_(options.eval_size == ImageModelOptions::kOwnSize ? 0
                                                                  : eval_size_for(options.eval_size, model_.metadata)),
      most_(options.batch),
      dim_(feature_width(model_.encoder.config())) {}

void ImageModel::prepare(const ImagesInMemory& images) {
  const AugmentDesc pixels = evaluation_pixels(images.h, images.w, eval_size_, pixels_);
  const int64_t batch = images_per_pass(*backend_, model_.encoder.config(), pixels, images.count, most_);
  if (!reader_ || pass_.size() != batch || pass_.images.front().h != images.h || pass_.images.front().w != images.w) {
    reader_.reset();
    pass_ = {};  // before more is taken
    pass_ = room_for(batch, images.h, images.w);
    indices_ = all_images(pass_);
  }
  if (!extractor_ || extractor_->batch() != batch || extractor_->pixels() != pixels) {
    linear_.reset();
    reader_.reset();
    extractor_.reset();
    extractor_.emplace(*backend_, model_.encoder, pixels, images.count, most_, dtype_);
  }
  if (!reader_) reader_.emplace(*extractor_, pass_, evaluation_views(eval_size_));
}

template <class Sink>
void ImageModel::for_each_pass(const ImagesInMemory& images, Sink&& sink) {
  prepare(images);
  const int64_t batch = extractor_->batch();
  for (int64_t first = 0; first < images.count; first += batch) {
    const int64_t count = std::min(batch, images.count - first);
    copy_pixels(images, first, count, pass_);
    const std::span<const float> rows = reader_->read(std::span(indices_).first(static_cast<size_t>(count)), 0);
    if (const int64_t row = first_not_finite(rows, dim_); row >= 0) fail_not_finite(std::to_string(first + row));
    sink(rows, first);
  }
}

void ImageModel::embed(const ImagesInMemory& images, bool unit_length, float* out) {
  for_each_pass(images, [&](std::span<const float> rows, int64_t first) {
    const std::span<float> to(out + first * dim_, rows.size());
    std::ranges::copy(rows, to.begin());
    if (unit_length) normalize_rows(to, dim_);
  });
}

void ImageModel::classify(const ImagesInMemory& images, bool as_probabilities, float* out) {
  const auto classes = static_cast<size_t>(model_.linear.classes());
  if (classes == 0) fail(ErrorKind::data, "the model has no classifier: dcl-linear --out writes a file with one");
  for_each_pass(images, [&](std::span<const float> rows, int64_t first) {
    if (!linear_) {
      LinearClassifier linear(*backend_,
                              {.dim = dim_, .classes = model_.linear.classes(), .max_rows = extractor_->batch()});
      linear.set(model_.linear);
      linear_.emplace(std::move(linear));
    }
    const std::span<float> to(out + static_cast<size_t>(first) * classes,
                              rows.size() / static_cast<size_t>(dim_) * classes);
    linear_->logits(linear_->upload(rows), to);
    for (size_t at = 0; as_probabilities && at < to.size(); at += classes) softmax(to.subspan(at, classes));
  });
}

}  // namespace dcl
