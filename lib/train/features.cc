#include "train/features.h"

#include <algorithm>
#include <cmath>
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
      views_(static_cast<size_t>(batch)),
      rows_(static_cast<size_t>(plan_.features().shape.elements())) {
  plan_.fold(parameters);
}

int64_t FeatureExtractor::dim() const { return plan_.features().shape[1]; }

bool FeatureExtractor::extract(const Dataset& dataset, std::span<const int32_t> images, const ViewSampler& views,
                               uint32_t epoch, const Sink& sink) {
  const TensorRef input = plan_.input();
  const size_t view_bytes = input.bytes() / static_cast<size_t>(batch_);
  for (size_t first = 0; first < images.size(); first += static_cast<size_t>(batch_)) {
    const int64_t count = std::min<int64_t>(batch_, static_cast<int64_t>(images.size() - first));
    parallel_for(count, [&](int64_t i) {
      const auto slot = static_cast<size_t>(i);
      const int32_t image = images[first + slot];
      views_[slot] = views(dataset.images[static_cast<size_t>(image)], epoch, static_cast<uint32_t>(image), 0);
      const TensorRef one{static_cast<char*>(input.data) + slot * view_bytes, {1, pixels_.h, pixels_.w, 3}, input.dtype};
      backend_.augment(pixels_, dataset.pool(), views_tensor(std::span(views_).subspan(slot, 1)), one);
    });
    plan_.run();  // rows beyond count hold earlier images: evaluated, and dropped
    backend_.copy_out(rows_.data(), plan_.features());
    if (!sink(std::span<const float>(rows_).first(static_cast<size_t>(count * dim())))) return false;
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
