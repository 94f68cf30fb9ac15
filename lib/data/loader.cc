#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/extent.h"
#include "core/parallel.h"
#include "data/batch_maker.h"
#include "data/shuffle.h"

namespace dcl {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

const Dataset& checked(const Dataset& dataset, const LoaderOptions& o) {
  const auto refuse = [](const std::string& what) { fail(ErrorKind::usage, "loader: " + what); };
  if (o.batch < 1) refuse("the batch must hold at least one image");
  if (o.views < 1 || o.views > std::numeric_limits<uint16_t>::max()) refuse("views must be 1..65535");
  if (o.ring < 2) refuse("the ring must hold at least two batches");
  if (o.threads < 0) refuse("threads must not be negative");
  if (o.dtype != DType::f32 && o.dtype != DType::bf16) refuse("views are f32 or bf16");
  if (dataset.size() == 0) refuse("the data set is empty");
  if (o.drop_last && o.batch > dataset.size()) {
    refuse("a batch of " + std::to_string(o.batch) + " images is larger than the data set of " +
           std::to_string(dataset.size()) + "; choose a smaller batch");
  }
  return dataset;
}

}  // namespace

ViewSampler training_views(const AugmentSettings& settings, uint64_t seed) {
  return [settings, seed](const PooledImage& image, uint32_t epoch, uint32_t sample, uint16_t view) {
    return draw_view(settings, image, seed, epoch, sample, view);
  };
}

ViewSampler evaluation_views(int64_t size) {
  return [size](const PooledImage& image, uint32_t, uint32_t, uint16_t) { return evaluation_view(image, size); };
}

/// Workers take slices of the oldest batch that has any left; a worker that finds none opens the next batch when the
/// ring has room. `mutex_` guards everything below it except the contents of slices, which belong to the worker that
/// took them until the batch is complete, and to the consumer after that.
class Loader::Impl {
 public:
  Impl(const Dataset& dataset, Backend& backend, ViewSampler sampler, const LoaderOptions& options)
      : dataset_(dataset), maker_(checked(dataset, options), backend, std::move(sampler), options), options_(options) {
    if (options_.threads == 0) options_.threads = thread_count();
    steps_ = options_.drop_last ? dataset.size() / options_.batch : ceil_div(dataset.size(), options_.batch);
    order_.resize(static_cast<size_t>(dataset.size()));
    slots_.resize(static_cast<size_t>(options_.ring));
    for (Slot& slot : slots_) slot.made = maker_.allocate();
  }
  ~Impl() { stop(); }

  int64_t steps_per_epoch() const { return steps_; }
  void start(int64_t epoch, int64_t step);
  const Batch* next();
  void stop() noexcept;

  LoaderStats stats() const {
    LoaderStats out = stats_;
    out.seconds = running_ ? seconds_since(started_) : stats_.seconds;
    return out;
  }

 private:
  struct Slot {
    BatchMaker::Slot made;
    int64_t slices = 0, taken = 0, done = 0;
    std::optional<Clock::time_point> free;  ///< since when the device leaves it alone
  };

  Slot& slot_of(int64_t serial) { return slots_[static_cast<size_t>(serial % options_.ring)]; }
  bool ended() const { return options_.end_epoch > 0 && epoch_ >= options_.end_epoch; }
  bool slice_left() const { return working_ < opened_; }
  bool may_open() const { return !ended() && opened_ - released_ < options_.ring; }

  void open_batch();
  void order_epoch();
  void work() noexcept;
  void make_slice(const Slot& slot, int64_t slice);

  const Dataset& dataset_;
  const BatchMaker maker_;
  LoaderOptions options_;
  int64_t steps_ = 0;
  std::vector<std::thread> workers_;
  bool running_ = false;
  bool holding_ = false;  ///< the consumer has a batch
  Clock::time_point started_;
  LoaderStats stats_;

  std::mutex mutex_;
  std::condition_variable work_ready_, batch_ready_;
  std::vector<Slot> slots_;
  std::vector<int32_t> order_;  ///< of ordered_epoch_
  int64_t ordered_epoch_ = -1;
  int64_t epoch_ = 0, step_ = 0;  ///< of the next batch to open
  int64_t opened_ = 0;            ///< batches opened since start
  int64_t working_ = 0;           ///< serial of the oldest batch with slices left; == opened_: none
  int64_t released_ = 0;          ///< batches given back by the consumer
  bool stopping_ = false;
  std::exception_ptr failure_;
};

void Loader::Impl::start(int64_t epoch, int64_t step) {
  stop();
  if (epoch < 0 || epoch > std::numeric_limits<uint32_t>::max() || step < 0 || step >= steps_) {
    fail(ErrorKind::usage, "loader: cannot start at epoch " + std::to_string(epoch) + ", step " + std::to_string(step) +
                               " of " + std::to_string(steps_));
  }
  epoch_ = epoch;
  step_ = step;
  opened_ = working_ = released_ = 0;
  stopping_ = holding_ = false;
  failure_ = nullptr;
  stats_ = {};
  started_ = Clock::now();
  running_ = true;
  try {
    for (int i = 0; i < options_.threads; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::exception& error) {
    stop();
    fail(ErrorKind::environment,
         "loader: cannot start " + std::to_string(options_.threads) + " threads: " + error.what() + "; ask for fewer");
  }
}

void Loader::Impl::stop() noexcept {
  if (!running_) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_ready_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  stats_.seconds = seconds_since(started_);
  running_ = false;
}

const Batch* Loader::Impl::next() {
  if (!running_) fail(ErrorKind::internal, "loader: next() before start()");
  const Clock::time_point asked = Clock::now();
  std::unique_lock lock(mutex_);
  if (holding_) {
    ++released_;
    holding_ = false;
    work_ready_.notify_all();
  }
  const auto ready = [&] { return released_ < opened_ && slot_of(released_).done == slot_of(released_).slices; };
  const auto exhausted = [&] { return released_ == opened_ && ended(); };
  batch_ready_.wait(lock, [&] { return failure_ || ready() || exhausted(); });
  if (failure_) std::rethrow_exception(failure_);
  if (exhausted()) return nullptr;
  holding_ = true;
  const Slot& slot = slot_of(released_);
  stats_.wait_seconds += seconds_since(std::max(asked, *slot.free));
  const Batch& batch = slot.made.batch;
  ++stats_.batches;
  stats_.images += batch.images;
  return &batch;
}

void Loader::Impl::order_epoch() {
  if (options_.shuffle) {
    epoch_permutation(options_.seed, static_cast<uint32_t>(epoch_), order_);
  } else if (ordered_epoch_ < 0) {
    for (size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<int32_t>(i);
  }
  ordered_epoch_ = epoch_;
}

void Loader::Impl::open_batch() {
  if (ordered_epoch_ != epoch_) order_epoch();
  Slot& slot = slot_of(opened_);
  const int64_t first = step_ * options_.batch;
  const int64_t images = std::min(options_.batch, dataset_.size() - first);
  maker_.begin(slot.made, epoch_, step_,
               std::span(order_).subspan(static_cast<size_t>(first), static_cast<size_t>(images)));
  slot.slices = ceil_div(options_.views * images, BatchMaker::kSliceViews);
  slot.taken = slot.done = 0;
  slot.free.reset();
  ++opened_;
  if (++step_ == steps_) {
    step_ = 0;
    ++epoch_;
  }
}

void Loader::Impl::work() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_ready_.wait(lock, [&] { return stopping_ || slice_left() || may_open(); });
    if (stopping_) return;
    try {
      if (!slice_left()) {
        open_batch();
        work_ready_.notify_all();
      }
      Slot& slot = slot_of(working_);
      const int64_t slice = slot.taken++;
      if (slot.taken == slot.slices) ++working_;
      lock.unlock();
      slot.made.read->wait();
      const Clock::time_point free = Clock::now();
      make_slice(slot, slice);
      lock.lock();
      if (!slot.free) slot.free = free;
      if (++slot.done == slot.slices) batch_ready_.notify_one();
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      if (!failure_) failure_ = std::current_exception();
      stopping_ = true;
      work_ready_.notify_all();
      batch_ready_.notify_one();
      return;
    }
  }
}

void Loader::Impl::make_slice(const Slot& slot, int64_t slice) {
  const int64_t begin = slice * BatchMaker::kSliceViews;
  maker_.make(slot.made, begin, std::min(begin + BatchMaker::kSliceViews, options_.views * slot.made.batch.images));
}

Loader::Loader(const Dataset& dataset, Backend& backend, ViewSampler sampler, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(dataset, backend, std::move(sampler), options)) {}
Loader::~Loader() = default;

int64_t Loader::steps_per_epoch() const { return impl_->steps_per_epoch(); }
void Loader::start(int64_t epoch, int64_t step) { impl_->start(epoch, step); }
const Batch* Loader::next() { return impl_->next(); }
void Loader::stop() noexcept { impl_->stop(); }
LoaderStats Loader::stats() const { return impl_->stats(); }

}  // namespace dcl
