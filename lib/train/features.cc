#include "train/features.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/extent.h"
#include "core/file.h"
#include "core/parallel.h"
#include "data/batch_maker.h"
#include "train/finite.h"

namespace dcl {

namespace {

/// Images of a forward pass, which takes as long for a part of them as for all: on a CPU the last pass is as full as
/// the others. A device would time its convolutions for every other number.
int64_t pass_size(const Backend& backend, int64_t images, int64_t most) {
  return backend.on_device() ? std::min(images, most) : ceil_div(images, ceil_div(images, most));
}

/// Numbers that are not finite can be neither compared nor classified.
void check_finite(std::span<const float> rows, int64_t dim, const Dataset& dataset, std::span<const int32_t> images) {
  const auto bad = std::find_if(rows.begin(), rows.end(), [](float value) { return !std::isfinite(value); });
  if (bad == rows.end()) return;
  const int32_t image = images[static_cast<size_t>((bad - rows.begin()) / dim)];
  fail(ErrorKind::numerical, "the features of image " + std::to_string(image) + " (" +
                                 quoted(dataset.names[static_cast<size_t>(image)]) +
                                 ") are not finite: the encoder's weights are too large or its running variances too "
                                 "small; dcl-inspect --stats shows them");
}

}  // namespace

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
                                   int64_t images, int64_t most, DType dtype)
    : backend_(backend),
      pixels_(pixels),
      batch_(pass_size(backend, images, most)),
      plan_(backend, parameters.config(), {.batch = batch_, .height = pixels.h, .width = pixels.w, .dtype = dtype}),
      input_(backend, pixels, batch_, 1),
      rows_(static_cast<size_t>(plan_.features().shape.elements())) {
  // Before folding and rectifying, which may turn what is not a number into 0.
  const FiniteCheck finite(backend);
  for (const auto& [values, what] : {std::pair{parameters.values(), "weights"},
                                     std::pair{parameters.statistics(), "running statistics of batch norm"}})
    if (!finite(values))
      fail(ErrorKind::numerical,
           "the encoder's " + std::string(what) + " are not finite; dcl-inspect --stats shows which");
  plan_.fold(parameters);
}

int64_t FeatureExtractor::dim() const { return plan_.features().shape[1]; }

bool FeatureExtractor::extract(const Dataset& dataset, std::span<const int32_t> images, const ViewSampler& views,
                               uint32_t epoch, const Sink& sink) {
  LoaderOptions options;
  options.augment = pixels_;
  options.batch = batch_;
  options.views = 1;
  options.dtype = plan_.input().dtype;
  options.resident = false;  // every image is seen once
  const BatchMaker maker(dataset, backend_, views, options);
  BatchMaker::Slot slot = maker.allocate();
  for (size_t first = 0; first < images.size(); first += static_cast<size_t>(batch_)) {
    const auto some = images.subspan(first, std::min(static_cast<size_t>(batch_), images.size() - first));
    maker.fill(slot, epoch, 0, some);
    input_.upload(slot.batch);
    input_.make_views({plan_.input().data, {slot.batch.images, pixels_.h, pixels_.w, 3}, options.dtype});
    plan_.run();  // further rows hold earlier images: evaluated, and dropped
    backend_.copy_out(rows_.data(), plan_.features());
    const auto features = std::span<const float>(rows_).first(some.size() * static_cast<size_t>(dim()));
    check_finite(features, dim(), dataset, some);
    if (!sink(features)) return false;
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

std::optional<UnitFeatures> unit_features(Backend& backend, const ParameterStore& parameters,
                                          std::span<const FeatureImages> sets, const FeatureSettings& settings,
                                          const std::function<bool(int64_t done, int64_t all)>& proceed) {
  std::vector<AugmentDesc> pixels;
  int64_t most = 0, all = 0, done = 0;
  for (const FeatureImages& set : sets) {
    pixels.push_back(evaluation_pixels(set.dataset, settings.eval_size, settings.pixels));
    most = std::max(most, std::ssize(set.images));
    all += std::ssize(set.images);
  }
  UnitFeatures out;
  std::optional<FeatureExtractor> extractor;
  std::vector<float> rows;
  for (size_t i = 0; i < sets.size(); ++i) {
    if (i == 0 || !(pixels[i] == pixels[i - 1]))
      extractor.emplace(backend, parameters, pixels[i], most, settings.batch, settings.dtype);
    const int64_t dim = out.dim = extractor->dim();
    Buffer& set = out.sets.emplace_back(backend, sets[i].images.size() * static_cast<size_t>(dim) * sizeof(float));
    size_t offset = 0;
    const auto keep = [&](std::span<const float> features) {
      rows.assign(features.begin(), features.end());
      normalize_rows(rows, dim);
      const int64_t count = std::ssize(rows) / dim;
      backend.copy_in(set.view({count, dim}, DType::f32, offset), rows.data());
      offset += rows.size() * sizeof(float);
      done += count;
      return !proceed || proceed(done, all);
    };
    if (!extractor->extract(sets[i].dataset, sets[i].images, evaluation_views(settings.eval_size), 0, keep))
      return std::nullopt;
  }
  return out;
}

}  // namespace dcl
