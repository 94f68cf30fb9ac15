// What a loader's batches are made of. On a CPU backend: the views, pixels and all. On a device, which makes the pixels
// itself: the views' parameters, and the images too when the data set does not lie in the device's memory.
#pragma once

#include <memory>
#include <vector>

#include "core/backend.h"
#include "data/loader.h"

namespace dcl {

class BatchMaker {
 public:
  /// Views per unit of work: small enough that all workers finish a batch together, large against the cost of the lock.
  static constexpr int64_t kSliceViews = 16;

  /// On a device the data set is copied to it here, when it takes at most half of the free memory and options.resident
  /// allows it. Data set and backend must outlive this.
  BatchMaker(const Dataset& dataset, Backend& backend, ViewSampler sampler, const LoaderOptions& options);

  /// Memory of one batch, used again and again.
  struct Slot {
    Batch batch;
    Buffer views;                 ///< the views; CPU backends
    HostBuffer host;              ///< parameters, labels, images
    std::unique_ptr<Fence> read;  ///< of the last batch that lay here
    std::vector<int32_t> indices;
    std::vector<int64_t> offsets;  ///< of the images in batch.pixels
  };
  Slot allocate() const;

  /// Starts the batch of these images: at most options.batch, each at most once.
  void begin(Slot& slot, int64_t epoch, int64_t step, std::span<const int32_t> indices) const;
  /// Makes rows [first, last), at most kSliceViews, of views * images, view-major, once slot.read says that the last
  /// batch was read. From any thread.
  void make(const Slot& slot, int64_t first, int64_t last) const;
  /// Both for a whole batch, by all compute threads. What lay in the slot must have been read.
  void fill(Slot& slot, int64_t epoch, int64_t step, std::span<const int32_t> indices) const;

 private:
  size_t view_bytes() const;
  ViewParams draw(const Slot& slot, int64_t row) const;
  ViewParams* params(const Slot& slot) const { return reinterpret_cast<ViewParams*>(slot.host.data()); }
  int32_t* labels(const Slot& slot) const { return reinterpret_cast<int32_t*>(slot.host.data() + labels_at_); }
  uint8_t* pixels(const Slot& slot) const { return reinterpret_cast<uint8_t*>(slot.host.data() + pixels_at_); }

  const Dataset& dataset_;
  Backend& backend_;
  const ViewSampler sampler_;
  const LoaderOptions options_;
  const std::span<const int32_t> labels_;  // of all images
  int64_t images_;                         ///< of the largest batch
  Buffer pool_;                            ///< the resident data set
  bool streams_ = false;
  size_t labels_at_ = 0, pixels_at_ = 0, pixel_room_ = 0;
};

}  // namespace dcl
