#include "core/file.h"
#include "core/log.h"
#include "core/number.h"
#include "train/pretrain_impl.h"

namespace dcl {

/// Which step it was, and what the loss depended on. Where it began can be told only when no later step is under way.
std::string Pretrainer::Impl::describe(const UnderWay& step) {
  const StepRecord& record = step.record;
  std::string images;
  for (const int32_t image : step.named) images += " " + std::to_string(image);
  if (step.images > static_cast<int64_t>(step.named.size())) images += " ...";
  return "the loss is " + number_text(record.loss) + " at step " + std::to_string(record.step) + " (epoch " +
         std::to_string(record.epoch) + ", step " + std::to_string(record.step_in_epoch) + " of " +
         std::to_string(record.steps_per_epoch) + ", learning rate " + number_text(record.lr) + ", images" + images +
         ")" + (step_.pending() == 0 ? "; the first that is not finite: " + step_.first_non_finite() : "");
}

/// After a step whose loss is not finite: its update did not happen, and the position is behind it.
void Pretrainer::Impl::leave_out(const std::string& what) {
  LeftOut& left_out = facts_.left_out;
  switch (plan_.on_nan.action) {
    case OnNan::Action::stop:
      fail(ErrorKind::numerical, what +
                                     "; stopped before the update, checkpoints are untouched: lower the learning rate, "
                                     "or continue with --on_nan");
    case OnNan::Action::skip:
      if (left_out.in_a_row >= plan_.on_nan.limit)
        fail(ErrorKind::numerical, what + "; " + std::to_string(left_out.in_a_row) +
                                       " steps before it were left out, as many in a row as --on_nan allows");
      ++left_out.steps;
      ++left_out.in_a_row;
      return;
    case OnNan::Action::rollback:
      return roll_back(what);
  }
}

/// Weights, running statistics and optimizer state of the newest valid checkpoint, at the position of now.
void Pretrainer::Impl::roll_back(const std::string& what) {
  if (facts_.left_out.rollbacks >= plan_.on_nan.limit)
    fail(ErrorKind::numerical, what + "; the run was rolled back " + std::to_string(facts_.left_out.rollbacks) +
                                   " times before, as often as --on_nan allows");
  const std::optional<Checkpoint> checkpoint = folder_.newest_told(facts_.position.step);
  if (!checkpoint)
    fail(ErrorKind::numerical, what + "; there is no checkpoint to roll back to in " + quoted(folder_.path()));
  step_.load(*checkpoint->model, *checkpoint->state);
  const CheckpointFacts& then = checkpoint->facts;
  facts_.left_out.steps =
      facts_.position.step - (then.position.step - then.left_out.steps);  // the updates are those of then
  ++facts_.left_out.rollbacks;
  facts_.knn_top1.reset();
  log(LogLevel::warning, "rolled back to the weights of step " + std::to_string(then.position.step));
}

}  // namespace dcl
