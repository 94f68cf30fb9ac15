// Batches of augmented views, made ahead of the step by worker threads; for a device, all but their pixels. What a
// batch holds depends on data set, options and position only, never on the number of threads. Nothing is allocated per
// batch after start().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "augment/augment.h"
#include "core/backend.h"
#include "data/dataset.h"

namespace dcl {

/// Parameters of one view of `image`; `sample` is its index in the data set. Called from worker threads, so it must be
/// thread-safe, and a function of its arguments alone.
using ViewSampler = std::function<ViewParams(const PooledImage& image, uint32_t epoch, uint32_t sample, uint16_t view)>;

/// Random training views (augment/augment.h); `settings` has passed check().
ViewSampler training_views(const AugmentSettings& settings, uint64_t seed);
/// Every view the deterministic one for evaluation, size x size; 0: the images as they are (all of one extent).
ViewSampler evaluation_views(int64_t size);

struct LoaderOptions {
  AugmentDesc augment;
  int64_t batch = 256;  ///< images per batch
  int views = 2;
  DType dtype = DType::f32;         ///< of the views: f32 or bf16
  uint64_t seed = 0;                ///< of the shuffling
  bool shuffle = true;              ///< otherwise in the order of the data set
  bool drop_last = true;            ///< otherwise the last batch of an epoch may be shorter
  int threads = 0;                  ///< worker threads; 0: thread_count()
  int ring = 3;                     ///< batches in memory, at least 2: one in use, the others ahead
  int64_t end_epoch = 0;            ///< batches end before this epoch; 0: they never end
  std::span<const int32_t> labels;  ///< [images] of the data set, outliving the loader; empty: its own
  bool resident = true;  ///< on a device: keep the data set in its memory if it takes at most half of what is free
};

struct Batch {
  int64_t epoch = 0, step = 0;  ///< step within the epoch
  int64_t images = 0;
  std::span<const int32_t> indices;  ///< [images], into the data set
  std::span<const int32_t> labels;   ///< [images], kUnknownLabel where unknown
  ConstTensorRef views;              ///< CPU backends: [options.views * images, h, w, 3], view-major
  // A device makes the views itself (batch_input.h), from `pool`, or from `pixels` where `pool` is null:
  std::span<const ViewParams> params;  ///< [options.views * images], view-major
  ConstTensorRef pool;                 ///< u8, in device memory
  std::span<const uint8_t> pixels;     ///< the batch's images
  size_t pixel_room = 0;               ///< bytes that pixels of any batch take at most
  /// Labels, parameters and pixels lie in memory for enqueue_in, and stay until what this marks is complete; null: they
  /// stay anyway.
  Fence* read = nullptr;
};

struct LoaderStats {
  int64_t batches = 0, images = 0;  ///< handed out since start()
  double seconds = 0;               ///< since start()
  double wait_seconds = 0;          ///< of these, spent in next() waiting for data, not for a device that is behind
  double images_per_second() const { return seconds > 0 ? static_cast<double>(images) / seconds : 0; }
  double wait_fraction() const { return seconds > 0 ? wait_seconds / seconds : 0; }
};

class Loader {
 public:
  /// Data set and backend must outlive the loader. Throws Error{usage} when no batch can be made (a batch larger than
  /// the data set with drop_last).
  Loader(const Dataset& dataset, Backend& backend, ViewSampler sampler, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  int64_t steps_per_epoch() const;

  /// Starts the workers at a position (again, after stop() or at another position).
  void start(int64_t epoch = 0, int64_t step = 0);
  /// The next batch, valid until the next call of next() or stop(); null at end_epoch. Rethrows what a worker threw.
  const Batch* next();
  /// Ends the workers after at most one slice of work each.
  void stop() noexcept;

  LoaderStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dcl
