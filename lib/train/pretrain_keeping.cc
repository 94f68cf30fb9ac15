#include "core/log.h"
#include "train/pretrain_impl.h"

namespace dcl {

bool Pretrainer::Impl::monitor_due() const {
  if (!plan_.monitor || facts_.knn_top1) return false;
  if (facts_.position.step == total_steps()) return true;
  return plan_.test_every > 0 && at_epoch_end() && facts_.position.epoch % plan_.test_every == 0;
}

bool Pretrainer::Impl::checkpoint_due() const {
  const int64_t step = facts_.position.step;
  if (step == total_steps()) return true;
  return plan_.checkpoint_every > 0 ? step % plan_.checkpoint_every == 0 : at_epoch_end();
}

/// Nothing when it was told to stop, or, with a warning, where there is none. It is returned from within `try`: GCC 12
/// forgets what a variable held that a call assigns there, when the call throws.
std::optional<MonitorResult> Pretrainer::Impl::monitor(PretrainObserver& observer) const try {
  return knn_accuracy(backend_, step_.parameters(), *bank_, *query_, *plan_.monitor, settings_.dtype,
                      [&](int64_t, int64_t) { return !observer.stop_requested(); });
} catch (...) {
  const Failure failure = current_failure();
  // Whether training can go on, its own loss and memory tell.
  if (failure.kind != ErrorKind::numerical && failure.kind != ErrorKind::out_of_memory) throw;
  log(LogLevel::warning, "no kNN accuracy: " + failure.message);
  return {};
}

void Pretrainer::Impl::run_monitor(PretrainObserver& observer) {
  const double start = seconds_now();
  const std::optional<MonitorResult> result = monitor(observer);
  if (!result) return;
  facts_.knn_top1 = result->top1;
  saved_step_ = -1;  // a checkpoint of this step does not know the accuracy yet
  MonitorRecord record{facts_.position.step, facts_.position.epoch, result->top1,
                       result->top5,         seconds_now() - start, false};
  record.best = !best_ || result->top1 > *best_;
  observer.on_monitor(record);
}

/// A failed checkpoint is a warning as long as the run goes on and not too many fail in a row.
void Pretrainer::Impl::save(PretrainObserver& observer, bool must_succeed) {
  const int64_t step = facts_.position.step;
  if (saved_step_ == step) return;
  if (const std::string what = step_.non_finite_state(); !what.empty()) {
    const std::string message = "the " + what + " after step " + std::to_string(step) + " are not finite";
    if (plan_.on_nan.action != OnNan::Action::rollback)
      fail(ErrorKind::numerical,
           message + ": no checkpoint is written; lower the learning rate and continue from the last one");
    roll_back(message);
  }
  try {
    folder_.save(facts_, step_.model_tensors(), step_.state_tensors());
    if (facts_.knn_top1 && (!best_ || *facts_.knn_top1 > *best_)) {
      folder_.mark_best(step);
      best_ = facts_.knn_top1;
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::io || must_succeed || ++failed_checkpoints_ > plan_.max_failed_checkpoints) throw;
    log(LogLevel::warning, std::string("checkpoint not saved, going on: ") + error.what());
    return;
  }
  failed_checkpoints_ = 0;
  saved_step_ = step;
  observer.on_checkpoint(folder_.model_path(step));
  folder_.prune(plan_.keep_last, plan_.keep_every);
}

}  // namespace dcl
