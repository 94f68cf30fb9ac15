#include "train/pretrain.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>

#include "core/file.h"
#include "core/log.h"
#include "data/loader.h"
#include "io/csv.h"
#include "train/model_file.h"
#include "train/pretrain_step.h"

namespace dcl {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

LoaderOptions loader_options(const PretrainSettings& settings) {
  LoaderOptions options;
  options.augment = augment_desc(settings.augment);
  options.batch = settings.batch;
  options.views = settings.views();
  options.dtype = settings.dtype;
  options.seed = settings.seed;
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

class Pretrainer::Impl {
 public:
  Impl(Backend& backend, const Dataset& train, const Dataset* bank, const Dataset* query,
       const PretrainSettings& settings, const PretrainPlan& plan, std::filesystem::path checkpoints)
      : backend_(backend),
        bank_(bank),
        query_(query),
        settings_(settings),
        plan_(plan),
        folder_(std::move(checkpoints)),
        loader_(train, backend, training_views(settings.augment, settings.seed), loader_options(settings)),
        step_(backend, settings, plan.use_graph),
        steps_ahead_(steps_ahead_of(plan, backend)),
        schedule_(schedule_of(settings, loader_.steps_per_epoch())) {
    if (steps_ahead_ >= PretrainStep::kMostPending)
      fail(ErrorKind::usage, "steps_ahead must be below " + std::to_string(PretrainStep::kMostPending));
    check_labels(settings, train);
    facts_.settings = trajectory_of(settings, train);
    facts_.machine = machine_of(backend);
    best_ = folder_.best_knn();
    log(LogLevel::info, "memory: " + std::to_string(step_.memory() >> 20) + " MiB for steps of " +
                            std::to_string(settings.batch) + " images, " + std::to_string(settings.part()) +
                            " of them in the network at a time");
  }

  void resume(const Checkpoint& checkpoint, bool other_settings_allowed);

  const RunPosition& position() const { return facts_.position; }
  const ParameterStore& parameters() const { return step_.parameters(); }
  /// Epochs count: those before a checkpoint that is continued with other settings may have had other numbers of steps.
  int64_t total_steps() const {
    const int64_t whole = settings_.epochs * loader_.steps_per_epoch() + facts_.position.step - scheduled_step();
    return plan_.max_steps > 0 ? std::min(whole, plan_.max_steps) : whole;
  }

  PretrainEnd run(PretrainObserver& observer);

 private:
  void set_beta(PretrainObserver& observer);
  void enqueue_one();
  void report_one(PretrainObserver& observer);
  /// Reports steps until at most `left` are under way.
  void report_until(int64_t left, PretrainObserver& observer) {
    while (step_.pending() > left) report_one(observer);
  }
  struct UnderWay;
  void advance();
  std::string describe(const UnderWay& step);
  void leave_out(const std::string& what);
  void roll_back(const std::string& what);
  bool monitor_due() const;
  bool checkpoint_due() const;
  void run_monitor(PretrainObserver& observer);
  void save(PretrainObserver& observer, bool must_succeed);
  void check_optimizer(const Checkpoint& checkpoint) const;
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
  Loader loader_;
  PretrainStep step_;
  int64_t steps_ahead_;
  struct UnderWay {
    StepRecord record;
    double start;
    int64_t images;
    std::vector<int32_t> named;  // the first of the batch
  };
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
  const bool saved = settings.empty() && std::filesystem::exists(folder_.model_path(facts_.position.step));
  saved_step_ = saved ? facts_.position.step : -1;
}

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
  std::vector<PassedOver> passed_over;
  const std::optional<Checkpoint> checkpoint = folder_.newest_valid(passed_over, facts_.position.step);
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
  const double start = now();
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
  const double seconds = now() - std::max(done.start, last_report_);
  last_report_ = now();
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
  observer.on_epoch(record.epoch, epoch_loss_ / static_cast<double>(epoch_steps_), now() - epoch_start_);
  epoch_loss_ = 0;
  epoch_steps_ = 0;
  epoch_start_ = now();
}

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

void Pretrainer::Impl::run_monitor(PretrainObserver& observer) {
  const double start = now();
  std::optional<MonitorResult> result;
  try {
    result = knn_accuracy(backend_, step_.parameters(), *bank_, *query_, *plan_.monitor, settings_.dtype,
                          [&] { return observer.stop_requested(); });
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::numerical) throw;  // whether training can go on, its own loss tells
    log(LogLevel::warning, std::string("no kNN accuracy: ") + error.what());
  }
  if (!result) return;
  facts_.knn_top1 = result->top1;
  saved_step_ = -1;  // a checkpoint of this step does not know the accuracy yet
  MonitorRecord record{facts_.position.step, facts_.position.epoch, result->top1, result->top5, now() - start, false};
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

PretrainEnd Pretrainer::Impl::run(PretrainObserver& observer) {
  loader_.start(facts_.position.epoch, facts_.position.step_in_epoch);
  epoch_start_ = now();
  const auto beside_training = [&](const auto& work) {
    const double start = now();
    work();
    epoch_start_ += now() - start;  // an epoch's time is that of its steps
  };
  for (bool first = true;; first = false) {
    if (!first || facts_.position.step > 0) {
      const bool due = monitor_due();
      if (due) {
        report_until(0, observer);
        beside_training([&] { run_monitor(observer); });
      }
      const bool stop = observer.stop_requested() && facts_.position.step < total_steps();
      const bool last = facts_.position.step >= total_steps();
      if (stop || due || checkpoint_due() || observer.take_checkpoint_request()) {
        report_until(0, observer);
        beside_training([&] { save(observer, stop || last); });
      }
      if (last) break;
      if (stop) {
        loader_.stop();
        return PretrainEnd::interrupted;
      }
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
PretrainEnd Pretrainer::run(PretrainObserver& observer) { return impl_->run(observer); }

}  // namespace dcl
