#include "data/batch_input.h"

namespace dcl {

BatchInput::BatchInput(Backend& backend, const AugmentDesc& augment, int64_t images, int views)
    : backend_(backend), augment_(augment), labels_(backend, static_cast<size_t>(images) * sizeof(int32_t)) {
  if (backend.on_device()) params_ = Buffer(backend, static_cast<size_t>(views * images) * sizeof(ViewParams));
}

void BatchInput::upload(const Batch& batch) {
  batch_images_ = batch.images;
  backend_.enqueue_in(labels_.view({batch.images}, DType::i32), batch.labels.data());
  views_ = batch.views;
  if (backend_.on_device()) {
    batch_rows_ = static_cast<int64_t>(batch.params.size());
    backend_.enqueue_in(params_.view(views_shape(batch_rows_), DType::u8), batch.params.data());
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

void BatchInput::make_views(TensorRef out) {
  if (views_) return backend_.copy(views_, out);
  backend_.augment(augment_, pool_, params_.view(views_shape(batch_rows_), DType::u8), out);
}

}  // namespace dcl
