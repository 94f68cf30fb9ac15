#include "train/pretrain.h"

#include <algorithm>
#include <cmath>

#include "core/file.h"
#include "core/log.h"
#include "core/number.h"
#include "train/model_file.h"
#include "train/pretrain_impl.h"

namespace dcl {
namespace {

LoaderOptions loader_options(const PretrainSettings& settings, const std::optional<KnownLabels>& labels) {
  LoaderOptions options;
  options.augment = augment_desc(settings.augment);
  options.batch = settings.batch;
  options.views = settings.views();
  options.dtype = settings.dtype;
  options.seed = settings.seed;
  if (labels) options.labels = labels->labels;
  return options;
}

Schedule schedule_of(const PretrainSettings& settings, int64_t steps_per_epoch) {
  return {.kind = settings.schedule,
          .base = settings.lr,
          .warmup_steps = std::llround(settings.warmup_epochs * static_cast<double>(steps_per_epoch)),
          .total_steps = settings.epochs * steps_per_epoch,
          .final = settings.final_lr};
}

/// Leaving a step out or rolling back has to happen before the next step is enqueued.
int64_t steps_ahead_of(const PretrainPlan& plan, const Backend& backend) {
  if (plan.on_nan.action != OnNan::Action::stop) return 0;
  if (plan.steps_ahead >= 0) return plan.steps_ahead;
  return backend.on_device() ? 4 : 0;
}

constexpr size_t kNamedImages = 8;  // of a batch in messages

}  // namespace

Pretrainer::Impl::Impl(Backend& backend, const Dataset& train, const Dataset* bank, const Dataset* query,
                       const PretrainSettings& settings, const PretrainPlan& plan, std::filesystem::path checkpoints)
    : backend_(backend),
      bank_(bank),
      query_(query),
      settings_(settings),
      plan_(plan),
      folder_(std::move(checkpoints)),
      labels_(objective_labels(settings, train)),
      loader_(train, backend, training_views(settings.augment, settings.seed), loader_options(settings, labels_)),
      step_(backend, settings, plan.use_graph),
      steps_ahead_(steps_ahead_of(plan, backend)),
      schedule_(schedule_of(settings, loader_.steps_per_epoch())) {
  if (steps_ahead_ >= PretrainStep::kMostPending)
    fail(ErrorKind::usage, "steps_ahead must be below " + std::to_string(PretrainStep::kMostPending));
  facts_.settings = trajectory_of(settings, train, backend.f32_math());
  facts_.machine = machine_of(backend);
  best_ = folder_.best_knn();
  log(LogLevel::info, "memory: " + std::to_string(step_.memory() >> 20) + " MiB for steps of " +
                          std::to_string(settings.batch) + " images, " + std::to_string(settings.part()) +
                          " of them in the network at a time");
}

/// Adam's averages and a momentum are of no use to each other: no override makes them that.
void Pretrainer::Impl::check_optimizer(const Checkpoint& checkpoint) const {
  const auto had = checkpoint.facts.settings.find("optimizer");
  const std::string name = name_of(settings_.optimizer.kind), adam = name_of(OptimizerKind::adam);
  if (had != checkpoint.facts.settings.end() && (had->second == adam) != (name == adam))
    fail(ErrorKind::usage, "cannot continue " + quoted(checkpoint.model->path()) + " with optimizer " + name +
                               ": it holds the state of " + had->second +
                               ", also for --resume_override; use --optimizer " + had->second +
                               " or another --run_dir");
}

void Pretrainer::Impl::resume(const Checkpoint& checkpoint, bool other_settings_allowed) {
  const std::string where = quoted(checkpoint.model->path());
  const std::string settings = differences(checkpoint.facts.settings, facts_.settings);
  if (!settings.empty() && !other_settings_allowed)
    fail(ErrorKind::usage, "cannot continue " + where + " with other settings: " + settings +
                               "; use the settings of the checkpoint, another --run_dir, or --resume_override");
  check_optimizer(checkpoint);
  step_.load(*checkpoint.model, *checkpoint.state);
  if (!settings.empty()) log(LogLevel::warning, "continuing " + where + " with other settings: " + settings);
  if (const std::string machine = differences(checkpoint.facts.machine, facts_.machine); !machine.empty())
    log(LogLevel::warning, "continuing " + where + " not bit for bit: " + machine);
  facts_.position = checkpoint.facts.position;
  facts_.knn_top1 = checkpoint.facts.knn_top1;
  facts_.left_out = checkpoint.facts.left_out;
  if (facts_.position.step_in_epoch >= loader_.steps_per_epoch()) {
    facts_.position.step_in_epoch = 0;
    ++facts_.position.epoch;
  }
  std::error_code absent;
  const bool in_this_run =
      std::filesystem::equivalent(checkpoint.model->path(), folder_.model_path(facts_.position.step), absent);
  saved_step_ = settings.empty() && in_this_run ? facts_.position.step : -1;
}

void Pretrainer::Impl::advance() {
  RunPosition& position = facts_.position;
  ++position.step;
  if (++position.step_in_epoch == loader_.steps_per_epoch()) {
    position.step_in_epoch = 0;
    ++position.epoch;
  }
  facts_.knn_top1.reset();
}

/// That of the epoch of the next step. Steps under way end before it changes.
void Pretrainer::Impl::set_beta(PretrainObserver& observer) {
  const double beta = beta_in_epoch(settings_.objective, facts_.position.epoch, settings_.epochs);
  if (beta == step_.beta()) return;
  report_until(0, observer);
  step_.set_beta(beta);
  log(LogLevel::info, "beta " + number_text(beta) + " from epoch " + std::to_string(facts_.position.epoch + 1) + " on");
}

/// One step of the trajectory; on return facts_.position names the next batch.
void Pretrainer::Impl::enqueue_one() {
  RunPosition& position = facts_.position;
  const double start = seconds_now();
  const double waited = loader_.stats().wait_seconds;
  const Batch* batch = loader_.next();
  StepRecord record;
  record.wait_fraction = loader_.stats().wait_seconds - waited;
  record.lr = schedule_.at(scheduled_step());
  step_.run(*batch, position.step - facts_.left_out.steps, record.lr);
  record.epoch = position.epoch + 1;
  record.steps_per_epoch = loader_.steps_per_epoch();
  record.step_in_epoch = position.step_in_epoch + 1;
  record.step = position.step + 1;
  advance();
  const auto named = batch->indices.first(std::min(kNamedImages, batch->indices.size()));
  under_way_.push_back({record, start, batch->images, {named.begin(), named.end()}});
}

/// The oldest step under way: its result, and what follows from it. A step's time is that since the one before.
void Pretrainer::Impl::report_one(PretrainObserver& observer) {
  const ObjectiveReport result = step_.report();
  UnderWay done = std::move(under_way_.front());
  under_way_.pop_front();
  StepRecord& record = done.record;
  record.loss = result.loss;
  record.clamp_fraction = result.clamp_fraction;
  record.mean_positive = result.mean_positive;
  record.mean_negative = result.mean_negative;
  const double seconds = seconds_now() - std::max(done.start, last_report_);
  last_report_ = seconds_now();
  record.images_per_second = static_cast<double>(done.images) / seconds;
  record.wait_fraction = std::min(record.wait_fraction / seconds, 1.0);
  if (std::isfinite(result.loss)) {
    facts_.left_out.in_a_row = 0;
    epoch_loss_ += result.loss;
    ++epoch_steps_;
    observer.on_step(record);
  } else {
    const std::string what = describe(done);
    leave_out(what);
    observer.on_left_out(record, what);
  }
  if (record.step_in_epoch < record.steps_per_epoch) return;
  observer.on_epoch(record.epoch, epoch_loss_ / static_cast<double>(epoch_steps_), seconds_now() - epoch_start_);
  epoch_loss_ = 0;
  epoch_steps_ = 0;
  epoch_start_ = seconds_now();
}

PretrainEnd Pretrainer::Impl::run(PretrainObserver& observer) {
  loader_.start(facts_.position.epoch, facts_.position.step_in_epoch);
  epoch_start_ = seconds_now();
  const auto beside_training = [&](const auto& work) {
    const double start = seconds_now();
    work();
    epoch_start_ += seconds_now() - start;  // an epoch's time is that of its steps
  };
  for (bool first = true;; first = false) {
    if (!first || facts_.position.step > 0) {
      const bool due = monitor_due();
      if (due) {
        report_until(0, observer);
        beside_training([&] { run_monitor(observer); });
      }
      const bool last = facts_.position.step >= total_steps();
      // Also behind the last step, as long as its accuracy is owed: an evaluation is given up for the request.
      const bool stop = observer.stop_requested() && (!last || (due && !facts_.knn_top1));
      if (stop || due || checkpoint_due() || observer.take_checkpoint_request()) {
        report_until(0, observer);
        beside_training([&] { save(observer, stop || last); });
      }
      if (stop) {
        loader_.stop();
        return PretrainEnd::interrupted;
      }
      if (last) break;
    }
    set_beta(observer);
    enqueue_one();
    report_until(steps_ahead_, observer);
  }
  loader_.stop();
  return PretrainEnd::finished;
}

Pretrainer::Pretrainer(Backend& backend, const Dataset& train, const Dataset* bank, const Dataset* query,
                       const PretrainSettings& settings, const PretrainPlan& plan, std::filesystem::path checkpoints)
    : impl_(std::make_unique<Impl>(backend, train, bank, query, settings, plan, std::move(checkpoints))) {}
Pretrainer::~Pretrainer() = default;
void Pretrainer::resume(const Checkpoint& checkpoint, bool other_settings_allowed) {
  impl_->resume(checkpoint, other_settings_allowed);
}
const RunPosition& Pretrainer::position() const { return impl_->position(); }
const ParameterStore& Pretrainer::parameters() const { return impl_->parameters(); }
int64_t Pretrainer::total_steps() const { return impl_->total_steps(); }
const std::optional<KnownLabels>& Pretrainer::labels() const { return impl_->labels(); }
PretrainEnd Pretrainer::run(PretrainObserver& observer) { return impl_->run(observer); }
RunEstimate Pretrainer::estimate(double seconds) { return impl_->estimate(seconds); }

}  // namespace dcl
