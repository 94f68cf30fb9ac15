#include "data/batch_input.h"

#include "core/rows.h"

namespace dcl {

BatchInput::BatchInput(Backend& backend, const AugmentDesc& augment, int64_t images, int views)
    : backend_(backend),
      augment_(augment),
      view_count_(views),
      labels_(backend, static_cast<size_t>(images) * sizeof(int32_t)) {
  if (backend.on_device()) params_ = Buffer(backend, static_cast<size_t>(views * images) * sizeof(ViewParams));
}

void BatchInput::upload(const Batch& batch) {
  batch_images_ = batch.images;
  backend_.enqueue_in(labels_.view({batch.images}, DType::i32), batch.labels.data());
  views_ = batch.views;
  if (backend_.on_device()) {
    backend_.enqueue_in(batch_params(), batch.params.data());
    pool_ = batch.pool;
    if (!pool_) {
      // Once, for a loader; larger where a FeatureExtractor meets larger images.
      if (pixels_.bytes() < batch.pixel_room) pixels_ = Buffer(backend_, batch.pixel_room);
      pool_ = pixels_.view({static_cast<int64_t>(pixels_.bytes())}, DType::u8);
      backend_.enqueue_in(pixels_.view({static_cast<int64_t>(batch.pixels.size())}, DType::u8), batch.pixels.data());
    }
  }
  if (batch.read) batch.read->record();
}

void BatchInput::make_rows(TensorRef out, int64_t first) const {
  if (views_) return backend_.copy(rows(views_, first, out.shape[0]), out);
  backend_.augment(augment_, pool_, rows(batch_params(), first, out.shape[0]), out);
}

void BatchInput::make_views(TensorRef out, int64_t first) const {
  const int64_t images = out.shape[0] / view_count_;
  if (images == batch_images_) return make_rows(out, 0);
  for (int64_t view = 0; view < view_count_; ++view)
    make_rows(rows(out, view * images, images), view * batch_images_ + first);
}

}  // namespace dcl
