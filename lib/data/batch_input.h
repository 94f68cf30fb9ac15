// From a loader's batch to what a step reads in backend memory.
#pragma once

#include "core/backend.h"
#include "data/loader.h"

namespace dcl {

class BatchInput {
 public:
  /// For batches of at most `images` images with `views` views each, of a loader with the same descriptor.
  BatchInput(Backend& backend, const AugmentDesc& augment, int64_t images, int views);

  /// Before the step: enqueues the copies the device needs of the batch, and marks it as read when they are complete.
  /// On a CPU backend the batch must stay until the step is done.
  void upload(const Batch& batch);

  /// In the step: enqueues what writes the uploaded batch's views to `out` [views * n, h, w, 3], view-major, of its n
  /// images from `first` on. The same ops on the same memory for every batch of as many images, so that a step graph
  /// can hold them.
  void make_views(TensorRef out, int64_t first = 0) const;
  /// i32 [images], of the uploaded batch.
  ConstTensorRef labels() const { return labels_.view({batch_images_}, DType::i32); }

 private:
  /// On a device, of the uploaded batch.
  TensorRef batch_params() const { return params_.view(views_shape(view_count_ * batch_images_), DType::u8); }
  /// The uploaded batch's views from `first` on, as many as `out` holds.
  void make_rows(TensorRef out, int64_t first) const;

  Backend& backend_;
  AugmentDesc augment_;
  int64_t view_count_;
  Buffer params_, labels_, pixels_;
  ConstTensorRef views_, pool_;  ///< of the uploaded batch: views on a CPU backend, otherwise where its images are
  int64_t batch_images_ = 0;
};

}  // namespace dcl
