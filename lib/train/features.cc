#include "train/features.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/error.h"
#include "core/parallel.h"

namespace dcl {

AugmentDesc evaluation_pixels(const Dataset& dataset, int64_t size, AugmentDesc pixels) {
  if (size == 0 && !dataset.uniform())
    fail(ErrorKind::data, "images of data set '" + dataset.name + "', split '" + dataset.split +
                              "', differ in size: give --eval_size to resize them");
  pixels.h = size > 0 ? size : dataset.images.front().h;
  pixels.w = size > 0 ? size : dataset.images.front().w;
  return pixels;
}

std::vector<int32_t> all_images(const Dataset& dataset) {
  std::vector<int32_t> images(static_cast<size_t>(dataset.size()));
  std::iota(images.begin(), images.end(), 0);
  return images;
}

std::vector<int32_t> labelled_images(const Dataset& dataset) {
  std::vector<int32_t> images = all_images(dataset);
  std::erase_if(images, [&](int32_t i) { return dataset.labels[static_cast<size_t>(i)] == kUnknownLabel; });
  return images;
}

std::vector<int32_t> labels_of(const Dataset& dataset, std::span<const int32_t> images) {
  std::vector<int32_t> labels;
  for (const int32_t i : images) labels.push_back(dataset.labels[static_cast<size_t>(i)]);
  return labels;
}

FeatureExtractor::FeatureExtractor(Backend& backend, const ParameterStore& parameters, const AugmentDesc& pixels,
                                   int64_t batch, DType dtype)
    : backend_(backend),
      pixels_(pixels),
      batch_(batch),
      plan_(backend, parameters.config(), {.batch = batch, .height = pixels.h, .width = pixels.w, .dtype = dtype}),
      input_(backend, pixels, batch, 1),
      read_(backend.make_fence()),
      views_(static_cast<size_t>(batch)),
      rows_(static_cast<size_t>(plan_.features().shape.elements())) {
  plan_.fold(parameters);
}

int64_t FeatureExtractor::dim() const { return plan_.features().shape[1]; }

/// The views in views_ of these images to the first rows of the plan's input.
void FeatureExtractor::make_views(const Dataset& dataset, std::span<const int32_t> images) {
  check_views(pixels_, std::span(views_).first(images.size()), dataset.pixels.size());
  if (backend_.on_device()) return make_views_on_device(dataset, images);
  const TensorRef input = plan_.input();
  const size_t view_bytes = input.bytes() / static_cast<size_t>(batch_);
  parallel_for(static_cast<int64_t>(images.size()), [&](int64_t i) {
    const auto slot = static_cast<size_t>(i);
    const TensorRef one{static_cast<char*>(input.data) + slot * view_bytes, {1, pixels_.h, pixels_.w, 3}, input.dtype};
    backend_.augment(pixels_, dataset.pool(), views_tensor(std::span(views_).subspan(slot, 1)), one);
  });
}

void FeatureExtractor::make_views_on_device(const Dataset& dataset, std::span<const int32_t> images) {
  const auto bytes_of = [&](int32_t image) {
    const PooledImage& source = dataset.images[static_cast<size_t>(image)];
    return static_cast<size_t>(source.h) * static_cast<size_t>(source.w) * 3;
  };
  const size_t params = static_cast<size_t>(batch_) * sizeof(ViewParams), labels = images.size() * sizeof(int32_t);
  size_t end = params + labels;
  for (const int32_t image : images) end += bytes_of(image);
  if (staged_.bytes() < end) staged_ = HostBuffer(backend_, end);  // what lay there was read: extract() waits
  auto* pixels = reinterpret_cast<uint8_t*>(staged_.data() + params + labels);
  size_t at = 0;
  for (size_t i = 0; i < images.size(); ++i) {
    std::memcpy(pixels + at, dataset.image(images[i]), bytes_of(images[i]));
    views_[i].image_offset = static_cast<int64_t>(at);
    at += bytes_of(images[i]);
  }
  Batch batch;
  batch.images = static_cast<int64_t>(images.size());
  std::copy_n(views_.begin(), images.size(), reinterpret_cast<ViewParams*>(staged_.data()));
  batch.params = {reinterpret_cast<ViewParams*>(staged_.data()), images.size()};
  batch.labels = {reinterpret_cast<int32_t*>(staged_.data() + params), images.size()};
  batch.pixels = {pixels, at};
  batch.pixel_room = at;
  batch.read = read_.get();
  input_.upload(batch);
  const TensorRef input = plan_.input();
  input_.make_views({input.data, {batch.images, pixels_.h, pixels_.w, 3}, input.dtype});
}

bool FeatureExtractor::extract(const Dataset& dataset, std::span<const int32_t> images, const ViewSampler& views,
                               uint32_t epoch, const Sink& sink) {
  for (size_t first = 0; first < images.size(); first += static_cast<size_t>(batch_)) {
    const auto some = images.subspan(first, std::min(static_cast<size_t>(batch_), images.size() - first));
    parallel_for(static_cast<int64_t>(some.size()), [&](int64_t i) {
      const auto image = static_cast<size_t>(some[static_cast<size_t>(i)]);
      views_[static_cast<size_t>(i)] = views(dataset.images[image], epoch, static_cast<uint32_t>(image), 0);
    });
    make_views(dataset, some);
    plan_.run();  // further rows hold earlier images: evaluated, and dropped
    backend_.copy_out(rows_.data(), plan_.features());
    if (!sink(std::span<const float>(rows_).first(some.size() * static_cast<size_t>(dim())))) return false;
  }
  return true;
}

void normalize_rows(std::span<float> rows, int64_t dim) {
  const int64_t count = static_cast<int64_t>(rows.size()) / dim;
  parallel_chunks(count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* x = rows.data() + row * dim;
      double sum = 0;
      for (int64_t d = 0; d < dim; ++d) sum += double{x[d]} * x[d];
      const double norm = std::max(std::sqrt(sum), 1e-12);
      for (int64_t d = 0; d < dim; ++d) x[d] = static_cast<float>(x[d] / norm);
    }
  });
}

}  // namespace dcl
