#include "train/features.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/extent.h"
#include "core/file.h"
#include "core/parallel.h"
#include "train/finite.h"

namespace dcl {

namespace {

/// Pixels of the first block, of all images in a pass, that keep a device busy: as many as 512 images of 32x32 have.
/// More make it no faster, and whatever is tried before a convolution's first run takes longer.
constexpr int64_t kPixelsOnDevice = int64_t{512} * 32 * 32;

}  // namespace

/// A pass takes as long for a part of its images as for all: on a CPU the last pass is as full as the others. A device
/// times its convolutions for every other number, so that it is asked for few.
int64_t images_per_pass(const Backend& backend, const ModelConfig& config, const AugmentDesc& pixels, int64_t images,
                        int64_t most) {
  if (!backend.on_device()) return ceil_div(images, ceil_div(images, most));
  const ConvDesc first = convolutions(config, {1, pixels.h, pixels.w, 3}, DType::f32).at(1);
  const int64_t enough = std::max<int64_t>(1, kPixelsOnDevice / (first.h * first.w));
  return std::min({static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(images))), most, enough});
}

AugmentDesc evaluation_pixels(int64_t h, int64_t w, int64_t size, AugmentDesc pixels) {
  pixels.h = size > 0 ? size : h;
  pixels.w = size > 0 ? size : w;
  return pixels;
}

AugmentDesc evaluation_pixels(const Dataset& dataset, int64_t size, AugmentDesc pixels) {
  if (size == 0 && !dataset.uniform())
    fail(ErrorKind::data,
         "images of data set " + dataset.described() + ", differ in size: give --eval_size to resize them");
  return evaluation_pixels(dataset.images.front().h, dataset.images.front().w, size, pixels);
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
      batch_(images_per_pass(backend, parameters.config(), pixels, images, most)),
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
  Reader reader(*this, dataset, views);
  for (size_t first = 0; first < images.size(); first += static_cast<size_t>(batch_)) {
    const auto some = images.subspan(first, std::min(static_cast<size_t>(batch_), images.size() - first));
    const std::span<const float> features = reader.read(some, epoch);
    if (const int64_t row = first_not_finite(features, dim()); row >= 0) {
      const auto image = static_cast<size_t>(some[static_cast<size_t>(row)]);
      fail_not_finite(std::to_string(image) + " (" + quoted(dataset.names[image]) + ")");
    }
    if (!sink(features)) return false;
  }
  return true;
}

FeatureExtractor::Reader::Reader(FeatureExtractor& extractor, const Dataset& dataset, ViewSampler views)
    : extractor_(extractor),
      maker_(dataset, extractor.backend_, std::move(views),
             {.augment = extractor.pixels_,
              .batch = extractor.batch_,
              .views = 1,
              .dtype = extractor.plan_.input().dtype,
              .resident = false}),  // every image is seen once
      slot_(maker_.allocate()) {}

std::span<const float> FeatureExtractor::Reader::read(std::span<const int32_t> images, uint32_t epoch) {
  FeatureExtractor& e = extractor_;
  maker_.fill(slot_, epoch, 0, images);
  e.input_.upload(slot_.batch);
  const TensorRef input = e.plan_.input();
  e.input_.make_views({input.data, {slot_.batch.images, e.pixels_.h, e.pixels_.w, 3}, input.dtype});
  e.plan_.run();  // further rows hold earlier images: evaluated, and dropped
  e.backend_.copy_out(e.rows_.data(), e.plan_.features());
  return std::span<const float>(e.rows_).first(images.size() * static_cast<size_t>(e.dim()));
}

int64_t first_not_finite(std::span<const float> rows, int64_t dim) {
  const auto bad = std::ranges::find_if(rows, [](float value) { return !std::isfinite(value); });
  return bad == rows.end() ? -1 : (bad - rows.begin()) / dim;
}

void fail_not_finite(const std::string& image) {
  fail(ErrorKind::numerical, "the features of image " + image +
                                 " are not finite: the encoder's weights are too large or its running "
                                 "variances too small; dcl-inspect --stats shows them");
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
