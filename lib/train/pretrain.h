// Pretraining: the loop around loader, network, objective and optimizer, with checkpoints and the kNN monitor.
// Invariant: after `step` updates everything that a later step depends on is a function of settings, data and `step`,
// so a run resumed from a checkpoint continues bit for bit.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "train/checkpoint.h"
#include "train/monitor.h"
#include "train/on_nan.h"
#include "train/pretrain_settings.h"

namespace dcl {

/// What happens around the trajectory without changing it.
struct PretrainPlan {
  int64_t max_steps = 0;                  ///< stop after this many steps in all; 0: after the epochs
  int64_t checkpoint_every = 0;           ///< steps; 0: at the end of every epoch
  int64_t test_every = 25;                ///< epochs between monitor runs; 0: only at the end
  int64_t keep_last = 2, keep_every = 0;  ///< CheckpointFolder::prune
  bool use_graph = true;                  ///< record the step once and replay it
  /// Unfinished steps the host may have enqueued beyond the first; -1: 0 on a CPU, 4 on a device.
  int64_t steps_ahead = -1;
  int max_failed_checkpoints = 3;  ///< consecutive ones, before the run gives up
  OnNan on_nan;
  std::optional<MonitorSettings> monitor;
};

struct StepRecord {
  int64_t step = 0;                                ///< of the trajectory, from 1; steps that were left out count, too
  int64_t epoch = 0;                               ///< from 1, of this step
  int64_t step_in_epoch = 0, steps_per_epoch = 0;  ///< from 1
  double loss = 0, clamp_fraction = 0, mean_positive = 0, mean_negative = 0;
  double lr = 0;
  double images_per_second = 0;  ///< of this step
  double wait_fraction = 0;      ///< of this step's time, spent waiting for data
};

struct MonitorRecord {
  int64_t step = 0, epoch = 0;  ///< after this many
  double top1 = 0, top5 = 0;    ///< percent
  double seconds = 0;
  bool best = false;
};

/// What the program around the run wants to know and may ask for.
class PretrainObserver {
 public:
  virtual ~PretrainObserver() = default;
  virtual void on_step(const StepRecord&) {}
  /// Instead of on_step, for a step whose loss was not finite and whose update was left out; `what` says it in words.
  virtual void on_left_out(const StepRecord&, const std::string& /*what*/) {}
  /// mean_loss: over the steps that were not left out; NaN where all were.
  virtual void on_epoch(int64_t /*epoch*/, double /*mean_loss*/, double /*seconds*/) {}
  virtual void on_monitor(const MonitorRecord&) {}
  virtual void on_checkpoint(const std::filesystem::path& /*model*/) {}
  virtual bool stop_requested() { return false; }
  virtual bool take_checkpoint_request() { return false; }
};

/// What a run takes, by a few of its steps.
struct RunEstimate {
  int64_t steps_per_epoch = 0, steps = 0;  ///< steps: in all
  int64_t timed_steps = 0;
  double step_seconds = 0;             ///< mean of the timed steps
  double step_flops = 0;               ///< of the network's convolutions
  size_t memory = 0, free_memory = 0;  ///< of the backend, bytes: what steps take, and what is left (0: not known)
  int64_t monitors = 0, monitor_images = 0;
  double monitor_seconds = 0;  ///< of one, by some of its images
  int64_t checkpoints = 0;     ///< that are there at the end
  uint64_t checkpoint_bytes = 0;

  double seconds() const {
    return static_cast<double>(steps) * step_seconds + static_cast<double>(monitors) * monitor_seconds;
  }
};

enum class PretrainEnd { finished, interrupted };

class Pretrainer {
 public:
  /// train: the images to learn from. bank and query are for the monitor (its labelled images). All must outlive this.
  Pretrainer(Backend& backend, const Dataset& train, const Dataset* bank, const Dataset* query,
             const PretrainSettings& settings, const PretrainPlan& plan, std::filesystem::path checkpoints);
  ~Pretrainer();

  /// Takes weights, optimizer state and position of a checkpoint. Error{usage} with the differences when its settings
  /// are others, unless they may be (then a warning; an epoch that has become shorter counts as ended), Error{data}
  /// when its tensors are. Warns when it comes from another machine or backend, so that the run does not go on bit for
  /// bit.
  void resume(const Checkpoint& checkpoint, bool other_settings_allowed = false);

  const RunPosition& position() const;
  /// The weights as they are; for reading between steps (from an observer).
  const ParameterStore& parameters() const;
  int64_t total_steps() const;
  /// What the objective is told of the labels, where that is not what the data set says.
  const std::optional<KnownLabels>& labels() const;

  /// Trains until the end or until the observer asks to stop; a checkpoint is saved in both cases. Error{numerical}
  /// when a loss or the weights are not finite and plan.on_nan does not go on: that step updated nothing, no checkpoint
  /// is written over.
  PretrainEnd run(PretrainObserver& observer);

  /// In place of run(): takes its first steps for about `seconds`, after those in which a backend prepares itself, and
  /// times them. Writes no file.
  RunEstimate estimate(double seconds);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dcl
