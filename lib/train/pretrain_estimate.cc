#include "nn/resnet.h"
#include "train/pretrain_impl.h"

namespace dcl {
namespace {

/// Op by op, then recorded: the steps in which a backend chooses algorithms and takes memory.
constexpr int64_t kFirstSteps = 2;
/// Of the monitor: seconds' work of a processor, and batches that are worth a GPU.
constexpr size_t kTimedImages = 32, kTimedImagesOnDevice = 1024;

uint64_t bytes_of(const std::vector<TensorSource>& tensors) {
  uint64_t bytes = 0;
  for (const TensorSource& tensor : tensors) bytes += bytes_of_shape(tensor.dtype, tensor.shape).value_or(0);
  return bytes;
}

}  // namespace

/// As run() takes them: the host ahead of the device. timed_steps and step_seconds, their mean.
void Pretrainer::Impl::time_steps(double seconds, RunEstimate& estimate) {
  PretrainObserver nobody;
  const auto take_one = [&] {
    set_beta(nobody);
    enqueue_one();
    report_until(steps_ahead_, nobody);
  };
  loader_.start(facts_.position.epoch, facts_.position.step_in_epoch);
  for (int64_t i = 0; i < kFirstSteps; ++i) take_one();
  report_until(0, nobody);
  const double start = seconds_now();
  do {
    take_one();
    ++estimate.timed_steps;
  } while (seconds_now() - start < seconds);
  report_until(0, nobody);
  estimate.step_seconds = (seconds_now() - start) / static_cast<double>(estimate.timed_steps);
  loader_.stop();
}

/// Seconds an image.
double Pretrainer::Impl::time_monitor() const {
  std::vector<int32_t> images = labelled_images(*bank_);
  images.resize(std::min(images.size(), backend_.on_device() ? kTimedImagesOnDevice : kTimedImages));
  FeatureExtractor extractor(backend_, step_.parameters(),
                             evaluation_pixels(*bank_, plan_.monitor->eval_size, plan_.monitor->pixels),
                             std::ssize(images), plan_.monitor->batch, settings_.dtype);
  double seconds = 0;
  for (const bool timed : {false, true}) {
    const double start = seconds_now();
    extractor.extract(*bank_, images, evaluation_views(plan_.monitor->eval_size), 0,
                      [](std::span<const float>) { return true; });
    if (timed) seconds = seconds_now() - start;
  }
  return seconds / static_cast<double>(images.size());
}

int64_t Pretrainer::Impl::monitors_of_run() const {
  if (!plan_.monitor) return 0;
  const int64_t steps = total_steps(), every = plan_.test_every * loader_.steps_per_epoch();
  return every > 0 ? (steps - 1) / every + 1 : 1;  // the last one is at the end
}

int64_t Pretrainer::Impl::checkpoints_of_run() const {
  const int64_t steps = total_steps();
  const int64_t written =
      (steps - 1) / (plan_.checkpoint_every > 0 ? plan_.checkpoint_every : loader_.steps_per_epoch()) + 1;
  const int64_t kept =
      plan_.keep_last + (plan_.monitor ? 1 : 0) + (plan_.keep_every > 0 ? steps / plan_.keep_every : 0);
  return std::min(written, kept);
}

RunEstimate Pretrainer::Impl::estimate(double seconds) {
  const int64_t views = settings_.batch * settings_.views(), size = settings_.augment.size;
  RunEstimate estimate{.steps_per_epoch = loader_.steps_per_epoch(),
                       .steps = total_steps(),
                       .step_flops = training_flops(settings_.model, {views, size, size, 3}),
                       .memory = step_.memory(),
                       .free_memory = backend_.free_memory(),
                       .monitors = monitors_of_run(),
                       .checkpoints = checkpoints_of_run(),
                       .checkpoint_bytes = bytes_of(step_.model_tensors()) + bytes_of(step_.state_tensors())};
  time_steps(seconds, estimate);
  if (estimate.monitors > 0) {
    estimate.monitor_images = std::ssize(labelled_images(*bank_)) + std::ssize(labelled_images(*query_));
    estimate.monitor_seconds = static_cast<double>(estimate.monitor_images) * time_monitor();
  }
  return estimate;
}

}  // namespace dcl
