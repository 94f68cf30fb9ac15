#include "data/batch_maker.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <numeric>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/extent.h"
#include "core/log.h"
#include "core/parallel.h"

namespace dcl {
namespace {

/// Of the `count` largest images, so that one that is far larger than the others does not count for all.
size_t bytes_of_largest(const Dataset& dataset, int64_t count) {
  std::vector<int64_t> bytes;
  for (const PooledImage& image : dataset.images) bytes.push_back(bytes_of(image));
  std::nth_element(bytes.begin(), bytes.begin() + (count - 1), bytes.end(), std::greater<>());
  return static_cast<size_t>(std::accumulate(bytes.begin(), bytes.begin() + count, int64_t{0}));
}

}  // namespace

BatchMaker::BatchMaker(const Dataset& dataset, Backend& backend, ViewSampler sampler, const LoaderOptions& options)
    : dataset_(dataset),
      backend_(backend),
      sampler_(std::move(sampler)),
      options_(options),
      labels_(options.labels.empty() ? std::span<const int32_t>(dataset.labels) : options.labels),
      images_(std::min(options.batch, dataset.size())) {
  if (labels_.size() != dataset.labels.size())
    fail(ErrorKind::internal, std::to_string(labels_.size()) + " labels for " + std::to_string(dataset.labels.size()) +
                                  " images of a data set");
  if (backend.on_device()) {
    labels_at_ = padded(static_cast<size_t>(options.views * images_) * sizeof(ViewParams));
    const ConstTensorRef pool = dataset.pool();
    const std::string size = "data set of " + std::to_string(pool.bytes() >> 20) + " MiB";
    streams_ = !options.resident || pool.bytes() > backend.free_memory() / 2;
    if (streams_) {
      pixel_room_ = bytes_of_largest(dataset, images_);
      if (options.resident)
        log(LogLevel::info, size + " stays in the host's memory, each batch is copied to the device");
    } else {
      pool_ = Buffer(backend, pool.bytes());
      backend.copy_in(pool_.view(pool.shape, pool.dtype), pool.data);
      log(LogLevel::info, size + " is in the device's memory");
    }
  }
  pixels_at_ = labels_at_ + padded(static_cast<size_t>(images_) * sizeof(int32_t));
}

size_t BatchMaker::view_bytes() const {
  return static_cast<size_t>(options_.augment.h * options_.augment.w * 3) * size_of(options_.dtype);
}

BatchMaker::Slot BatchMaker::allocate() const {
  Slot slot;
  slot.host = HostBuffer(backend_, pixels_at_ + pixel_room_);
  slot.read = backend_.make_fence();
  slot.indices.resize(static_cast<size_t>(images_));
  if (!backend_.on_device())
    slot.views = Buffer(backend_, static_cast<size_t>(options_.views * images_) * view_bytes());
  if (streams_) slot.offsets.resize(static_cast<size_t>(images_));
  return slot;
}

void BatchMaker::begin(Slot& slot, int64_t epoch, int64_t step, std::span<const int32_t> indices) const {
  if (static_cast<int64_t>(indices.size()) > images_)
    fail(ErrorKind::internal, "a batch of more images than there is room for");
  std::copy(indices.begin(), indices.end(), slot.indices.begin());
  Batch batch;
  batch.epoch = epoch;
  batch.step = step;
  batch.images = static_cast<int64_t>(indices.size());
  batch.indices = std::span(slot.indices).first(indices.size());
  batch.labels = {labels(slot), indices.size()};
  batch.read = slot.read.get();
  const int64_t rows = options_.views * batch.images;
  if (!backend_.on_device()) {
    batch.views = slot.views.view({rows, options_.augment.h, options_.augment.w, 3}, options_.dtype);
  } else {
    batch.params = {params(slot), static_cast<size_t>(rows)};
    if (!streams_) batch.pool = pool_.view({static_cast<int64_t>(pool_.bytes())}, DType::u8);
  }
  if (streams_) {
    int64_t end = 0;
    for (size_t i = 0; i < indices.size(); ++i) {
      slot.offsets[i] = end;
      end += bytes_of(dataset_.images[static_cast<size_t>(indices[i])]);
    }
    if (static_cast<size_t>(end) > pixel_room_) fail(ErrorKind::internal, "a batch holds an image twice");
    batch.pixels = {pixels(slot), static_cast<size_t>(end)};
    batch.pixel_room = pixel_room_;
  }
  slot.batch = batch;
}

ViewParams BatchMaker::draw(const Slot& slot, int64_t row) const {
  const Batch& batch = slot.batch;
  const auto sample = static_cast<size_t>(batch.indices[static_cast<size_t>(row % batch.images)]);
  return sampler_(dataset_.images[sample], static_cast<uint32_t>(batch.epoch), static_cast<uint32_t>(sample),
                  static_cast<uint16_t>(row / batch.images));
}

void BatchMaker::make(const Slot& slot, int64_t first, int64_t last) const {
  const Batch& batch = slot.batch;
  for (int64_t row = first; row < std::min(last, batch.images); ++row) {
    const auto image = static_cast<size_t>(row), sample = static_cast<size_t>(batch.indices[image]);
    labels(slot)[row] = labels_[sample];
    if (!streams_) continue;
    const PooledImage& source = dataset_.images[sample];
    std::memcpy(pixels(slot) + slot.offsets[image], dataset_.pixels.data() + source.offset,
                static_cast<size_t>(bytes_of(source)));
  }
  std::array<ViewParams, kSliceViews> drawn;
  const std::span views = std::span(drawn).first(static_cast<size_t>(last - first));
  for (int64_t row = first; row < last; ++row) views[static_cast<size_t>(row - first)] = draw(slot, row);
  check_views(options_.augment, views, dataset_.pixels.size());
  if (!backend_.on_device()) {
    auto* out = static_cast<uint8_t*>(slot.views.data()) + static_cast<size_t>(first) * view_bytes();
    return backend_.augment(options_.augment, dataset_.pool(), views_tensor(views),
                            {out, {last - first, options_.augment.h, options_.augment.w, 3}, options_.dtype});
  }
  for (int64_t row = first; streams_ && row < last; ++row)
    views[static_cast<size_t>(row - first)].image_offset = slot.offsets[static_cast<size_t>(row % batch.images)];
  std::copy(views.begin(), views.end(), params(slot) + first);
}

void BatchMaker::fill(Slot& slot, int64_t epoch, int64_t step, std::span<const int32_t> indices) const {
  begin(slot, epoch, step, indices);
  // Row by row: the images may be large and few.
  parallel_for(options_.views * slot.batch.images, [&](int64_t row) { make(slot, row, row + 1); });
}

}  // namespace dcl
