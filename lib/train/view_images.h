// Views of images as 8-bit pictures, for people to look at.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/backend.h"
#include "data/dataset.h"
#include "train/pretrain_settings.h"

namespace dcl {

/// Tiles of one size in rows, the first at the top left; unused places are black.
struct TiledImage {
  std::vector<uint8_t> rgb;  ///< [height, width, 3]
  int64_t height = 0, width = 0;
};

/// The views of the first images that training sees, as it sees them: the views of an image side by side.
TiledImage first_training_views(Backend& backend, const Dataset& dataset, const PretrainSettings& settings);

/// `images` of the data set, each resized to side x side (the central square of what is not square), in a
/// square of tiles as TensorBoard's projector expects a sprite.
TiledImage thumbnails(Backend& backend, const Dataset& dataset, std::span<const int32_t> images, int64_t side);

}  // namespace dcl
