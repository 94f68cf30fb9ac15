#include "train/view_images.h"

#include <algorithm>
#include <cmath>

#include "data/loader.h"

namespace dcl {
namespace {

constexpr int64_t kShownImages = 32, kImagesPerRow = 4;

class Tiles {
 public:
  Tiles(int64_t side, int64_t columns, int64_t count) : side_(side), columns_(columns) {
    image_.width = side * columns;
    image_.height = side * ((count + columns - 1) / columns);
    image_.rgb.resize(static_cast<size_t>(image_.height * image_.width * 3));
  }

  /// view: [side, side, 3], normalised as `pixels` says.
  void put(int64_t place, const float* view, const AugmentDesc& pixels) {
    const int64_t top = place / columns_ * side_, left = place % columns_ * side_;
    for (int64_t y = 0; y < side_; ++y)
      for (int64_t i = 0; i < side_ * 3; ++i) {
        const float unit = view[y * side_ * 3 + i] * pixels.std[i % 3] + pixels.mean[i % 3];
        image_.rgb[static_cast<size_t>(((top + y) * image_.width + left) * 3 + i)] =
            static_cast<uint8_t>(std::lround(std::clamp(unit * 255, 0.0f, 255.0f)));
      }
  }
  TiledImage take() { return std::move(image_); }

 private:
  int64_t side_, columns_;
  TiledImage image_;
};

std::vector<float> host_copy(Backend& backend, const ConstTensorRef& views) {
  std::vector<float> values(static_cast<size_t>(views.shape.elements()));
  backend.copy_out(values.data(), views);
  return values;
}

}  // namespace

TiledImage first_training_views(Backend& backend, const Dataset& dataset, const PretrainSettings& settings) {
  LoaderOptions options;
  options.augment = augment_desc(settings.augment);
  options.batch = std::min(kShownImages, dataset.size());
  options.views = settings.views();
  options.seed = settings.seed;
  Loader loader(dataset, backend, training_views(settings.augment, settings.seed), options);
  loader.start();
  const std::vector<float> views = host_copy(backend, loader.next()->views);

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
  options.shuffle = options.drop_last = false;
  options.end_epoch = 1;
  Loader loader(dataset, backend, evaluation_views(side), options);
  loader.start();

  const auto count = static_cast<int64_t>(images.size());
  const auto columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  Tiles tiles(side, columns, columns * columns);
  int64_t place = 0;
  while (const Batch* batch = loader.next()) {
    const std::vector<float> views = host_copy(backend, batch->views);
    for (int64_t i = 0; i < batch->images && place < count; ++i)
      if (batch->indices[static_cast<size_t>(i)] == images[static_cast<size_t>(place)])
        tiles.put(place++, views.data() + i * side * side * 3, options.augment);
  }
  return tiles.take();
}

}  // namespace dcl
