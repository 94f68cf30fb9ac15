#include "train/view_images.h"

#include <algorithm>
#include <cmath>

#include "core/extent.h"
#include "data/batch_input.h"
#include "data/batch_maker.h"

namespace dcl {
namespace {

constexpr int64_t kShownImages = 32, kImagesPerRow = 4;

class Tiles {
 public:
  Tiles(int64_t side, int64_t columns, int64_t count) : side_(side), columns_(columns) {
    image_.width = side * columns;
    image_.height = side * ceil_div(count, columns);
    image_.rgb.resize(static_cast<size_t>(image_.height * image_.width * 3));
  }

  /// view: [side, side, 3], normalised as `pixels` says.
  void put(int64_t place, const float* view, const AugmentDesc& pixels) {
    const int64_t top = place / columns_ * side_, left = place % columns_ * side_;
    for (int64_t y = 0; y < side_; ++y)
      for (int64_t i = 0; i < side_ * 3; ++i) {
        const float unit = view[y * side_ * 3 + i] * pixels.normalization.std[i % 3] + pixels.normalization.mean[i % 3];
        image_.rgb[static_cast<size_t>(((top + y) * image_.width + left) * 3 + i)] =
            static_cast<uint8_t>(std::lround(std::clamp(unit * 255, 0.0f, 255.0f)));
      }
  }
  TiledImage take() { return std::move(image_); }

 private:
  int64_t side_, columns_;
  TiledImage image_;
};

/// The views of a loader's batches on the host, wherever they are made.
class HostViews {
 public:
  HostViews(Backend& backend, const LoaderOptions& options)
      : backend_(backend),
        options_(options),
        input_(backend, options.augment, options.batch, options.views),
        views_(backend, static_cast<size_t>(shape(options.batch).elements()) * sizeof(float)) {}

  /// f32 [views * images, h, w, 3], view-major.
  std::vector<float> of(const Batch& batch) {
    const TensorRef views = views_.view(shape(batch.images), DType::f32);
    input_.upload(batch);
    input_.make_views(views);
    std::vector<float> values(static_cast<size_t>(views.shape.elements()));
    backend_.copy_out(values.data(), views);
    return values;
  }

 private:
  Shape shape(int64_t images) const { return {options_.views * images, options_.augment.h, options_.augment.w, 3}; }

  Backend& backend_;
  LoaderOptions options_;
  BatchInput input_;
  Buffer views_;
};

}  // namespace

TiledImage first_training_views(Backend& backend, const Dataset& dataset, const PretrainSettings& settings) {
  LoaderOptions options;
  options.augment = augment_desc(settings.augment);
  options.batch = std::min(kShownImages, dataset.size());
  options.views = settings.views();
  options.seed = settings.seed;
  Loader loader(dataset, backend, training_views(settings.augment, settings.seed), options);
  loader.start();
  const std::vector<float> views = HostViews(backend, options).of(*loader.next());

  const int64_t side = settings.augment.size, images = options.batch;
  Tiles tiles(side, kImagesPerRow * options.views, images * options.views);
  for (int64_t view = 0; view < options.views; ++view)
    for (int64_t image = 0; image < images; ++image)
      tiles.put(image * options.views + view, views.data() + (view * images + image) * side * side * 3,
                options.augment);
  return tiles.take();
}

TiledImage thumbnails(Backend& backend, const Dataset& dataset, std::span<const int32_t> images, int64_t side) {
  LoaderOptions options;
  options.augment.h = options.augment.w = side;
  options.batch = std::min<int64_t>(64, dataset.size());
  options.views = 1;
  options.resident = false;  // every image is seen once
  const BatchMaker maker(dataset, backend, evaluation_views(side), options);
  BatchMaker::Slot slot = maker.allocate();

  const auto count = static_cast<int64_t>(images.size());
  const auto columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  Tiles tiles(side, columns, columns * columns);
  HostViews host(backend, options);
  for (int64_t place = 0; place < count;) {
    const auto first = static_cast<size_t>(place);
    maker.fill(slot, 0, 0, images.subspan(first, std::min(static_cast<size_t>(options.batch), images.size() - first)));
    const std::vector<float> views = host.of(slot.batch);
    for (int64_t i = 0; i < slot.batch.images; ++i)
      tiles.put(place++, views.data() + i * side * side * 3, options.augment);
  }
  return tiles.take();
}

}  // namespace dcl
