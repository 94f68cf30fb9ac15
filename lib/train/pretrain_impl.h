// The loop behind Pretrainer: pretrain.cc takes the steps, pretrain_recovery.cc goes on after a loss that is not
// finite, pretrain_keeping.cc tests the network and writes checkpoints, pretrain_estimate.cc says beforehand what it
// takes.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <string>
#include <vector>

#include "data/loader.h"
#include "train/pretrain.h"
#include "train/pretrain_step.h"

namespace dcl {

/// Seconds, from some moment on.
inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Pretrainer::Impl {
 public:
  Impl(Backend& backend, const Dataset& train, const Dataset* bank, const Dataset* query,
       const PretrainSettings& settings, const PretrainPlan& plan, std::filesystem::path checkpoints);

  void resume(const Checkpoint& checkpoint, bool other_settings_allowed);

  const RunPosition& position() const { return facts_.position; }
  const ParameterStore& parameters() const { return step_.parameters(); }
  const std::optional<KnownLabels>& labels() const { return labels_; }
  /// Epochs count: those before a checkpoint that is continued with other settings may have had other numbers of steps.
  int64_t total_steps() const {
    const int64_t whole = settings_.epochs * loader_.steps_per_epoch() + facts_.position.step - scheduled_step();
    return plan_.max_steps > 0 ? std::min(whole, plan_.max_steps) : whole;
  }

  PretrainEnd run(PretrainObserver& observer);
  RunEstimate estimate(double seconds);

 private:
  /// A step that was enqueued and not reported.
  struct UnderWay {
    StepRecord record;
    double start;
    int64_t images;
    std::vector<int32_t> named;  // the first of the batch
  };

  void set_beta(PretrainObserver& observer);
  void enqueue_one();
  void report_one(PretrainObserver& observer);
  /// Reports steps until at most `left` are under way.
  void report_until(int64_t left, PretrainObserver& observer) {
    while (step_.pending() > left) report_one(observer);
  }
  void advance();
  void check_optimizer(const Checkpoint& checkpoint) const;

  // pretrain_recovery.cc
  std::string describe(const UnderWay& step);
  void leave_out(const std::string& what);
  void roll_back(const std::string& what);

  // pretrain_keeping.cc
  bool monitor_due() const;
  bool checkpoint_due() const;
  std::optional<MonitorResult> monitor(PretrainObserver& observer) const;
  void run_monitor(PretrainObserver& observer);
  void save(PretrainObserver& observer, bool must_succeed);

  // pretrain_estimate.cc
  void time_steps(double seconds, RunEstimate& estimate);
  double time_monitor() const;
  int64_t monitors_of_run() const;
  int64_t checkpoints_of_run() const;

  /// The step that it would be, had all epochs been as long as they are now.
  int64_t scheduled_step() const {
    return facts_.position.epoch * loader_.steps_per_epoch() + facts_.position.step_in_epoch;
  }
  bool at_epoch_end() const { return facts_.position.step > 0 && facts_.position.step_in_epoch == 0; }

  Backend& backend_;
  const Dataset *bank_, *query_;
  PretrainSettings settings_;
  PretrainPlan plan_;
  CheckpointFolder folder_;
  const std::optional<KnownLabels> labels_;  // read by loader_
  Loader loader_;
  PretrainStep step_;
  int64_t steps_ahead_;
  std::deque<UnderWay> under_way_;  // the steps of step_.pending()
  double last_report_ = 0;
  Schedule schedule_;
  CheckpointFacts facts_;
  std::optional<double> best_;
  int64_t saved_step_ = -1;  // step of the newest checkpoint in folder_
  int failed_checkpoints_ = 0;
  double epoch_loss_ = 0, epoch_start_ = 0;
  int64_t epoch_steps_ = 0;
};

}  // namespace dcl
