// dcl-pretrain: trains an encoder without labels; the program around Pretrainer.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>

#include "core/file.h"
#include "core/log.h"
#include "pretrain_estimate.h"
#include "pretrain_options.h"
#include "run/app.h"
#include "run/metrics.h"
#include "run/progress.h"
#include "run/run_directory.h"
#include "run/signals.h"
#include "train/pretrain.h"
#include "train/tensorboard.h"

namespace dcl {
namespace {

/// Progress on the terminal, rows in the metrics, signals from outside.
class Reporter : public PretrainObserver {
 public:
  /// tensorboard: may be null.
  Reporter(MetricsLog& metrics, TensorBoardLog* tensorboard, const Pretrainer& pretrainer, Signals& signals,
           int64_t epochs)
      : metrics_(metrics), tensorboard_(tensorboard), pretrainer_(pretrainer), signals_(signals), epochs_(epochs) {}

  void on_step(const StepRecord& r) override {
    metrics_.write({{"split", "train"},
                    {"step", r.step},
                    {"epoch", r.epoch},
                    {"loss", r.loss},
                    {"clamp_fraction", r.clamp_fraction},
                    {"mean_positive", r.mean_positive},
                    {"mean_negative", r.mean_negative},
                    {"lr", r.lr},
                    {"images_per_second", r.images_per_second},
                    {"wait_fraction", r.wait_fraction}});
    if (tensorboard_) tensorboard_->step(r);
    if (!progress_) progress_ = std::make_unique<Progress>(r.steps_per_epoch);
    progress_->update(r.step_in_epoch,
                      fmt::format("Train Epoch: [{}/{}] Loss: {:.4f} clamp {:.0f}% {:.0f} img/s wait {:.0f}%", r.epoch,
                                  epochs_, r.loss, 100 * r.clamp_fraction, r.images_per_second, 100 * r.wait_fraction));
  }
  void on_left_out(const StepRecord& r, const std::string& what) override {
    metrics_.write({{"split", "left_out"}, {"step", r.step}, {"epoch", r.epoch}, {"loss", r.loss}, {"lr", r.lr}});
    log(LogLevel::warning, what + "; its update was left out");
  }
  void on_epoch(int64_t epoch, double mean_loss, double seconds) override {
    if (progress_) progress_->finish();
    progress_.reset();
    const std::string what =
        std::isfinite(mean_loss) ? fmt::format("mean loss {:.4f}", mean_loss) : "every step was left out";
    log(LogLevel::info, fmt::format("epoch {}: {}, {:.1f} s", epoch, what, seconds));
  }
  void on_monitor(const MonitorRecord& r) override {
    progress_.reset();
    metrics_.write(
        {{"split", "knn"}, {"step", r.step}, {"epoch", r.epoch}, {"knn_top1", r.top1}, {"knn_top5", r.top5}});
    if (tensorboard_) tensorboard_->monitor(r);
    log(LogLevel::info, fmt::format("kNN after epoch {} (step {}): top-1 {:.2f}% top-5 {:.2f}%, {:.1f} s{}", r.epoch,
                                    r.step, r.top1, r.top5, r.seconds, r.best ? ", best" : ""));
  }
  void on_checkpoint(const std::filesystem::path& model) override {
    log(LogLevel::info, "checkpoint " + model.string());
    if (tensorboard_) tensorboard_->weights(pretrainer_.position().step, pretrainer_.parameters());
  }
  bool stop_requested() override { return signals_.stop_requested(); }
  bool take_checkpoint_request() override { return signals_.take_checkpoint_request(); }

  /// Error{io} when rows could not be written.
  void flush() {
    metrics_.flush();
    if (tensorboard_) tensorboard_->flush();
  }

  static std::vector<std::string> columns() {
    return {"split",
            "step",
            "epoch",
            "loss",
            "clamp_fraction",
            "mean_positive",
            "mean_negative",
            "lr",
            "images_per_second",
            "wait_fraction",
            "knn_top1",
            "knn_top5"};
  }

 private:
  MetricsLog& metrics_;
  TensorBoardLog* tensorboard_;
  const Pretrainer& pretrainer_;
  Signals& signals_;
  int64_t epochs_;
  std::unique_ptr<Progress> progress_;
};

/// The event file of a run that is about to start or to go on.
std::unique_ptr<TensorBoardLog> open_tensorboard(const PretrainOptions& o, const RunDirectory& run, Backend& backend,
                                                 const Dataset& train, int64_t step) {
  if (!o.tensorboard) return nullptr;
  auto tensorboard = std::make_unique<TensorBoardLog>(run.path(), step);
  if (step > 0) return tensorboard;
  tensorboard->configuration(read_text(run.path() / "config.toml", 1 << 20));
  tensorboard->views(first_training_views(backend, train, o.settings));
  return tensorboard;
}

/// The query images of the monitor; nothing, with a notice, when there is nothing to monitor with and it was not asked
/// for.
std::optional<Dataset> load_queries(const PretrainOptions& o, const Dataset& train, bool asked_for) {
  if (!o.knn) return std::nullopt;
  return load_if_there(asked_for, "kNN monitor is off", [&] {
    if (labelled_images(train).empty())
      fail(ErrorKind::data, "the images of split '" + train.split + "' have no labels to be a kNN bank");
    Dataset query = o.data.load_test(train);
    evaluation_pixels(train, o.monitor.eval_size);
    evaluation_pixels(query, o.monitor.eval_size);
    if (labelled_images(query).empty())
      fail(ErrorKind::data, "the images of split '" + query.split + "' have no labels");
    return query;
  });
}

/// A signal that ended a run before it had begun.
struct Interrupted {};
/// How long reading images may go on after it: those that are read in time are worth the step and the checkpoint that a
/// signal asks for at any other moment.
constexpr std::chrono::seconds kReadingInTime{5};

/// For DataOptions::while_reading.
std::function<void()> end_of_reading(const Signals& signals, bool requeue) {
  using Clock = std::chrono::steady_clock;
  return [&signals, requeue, asked = std::optional<Clock::time_point>()]() mutable {
    if (!signals.stop_requested()) return;
    if (!asked) asked = Clock::now();
    if (Clock::now() - *asked < kReadingInTime) return;
    if (signals.requeue_requested() && requeue) requeue_slurm_job();
    throw Interrupted();
  };
}

/// In the type of the checkpoint that a run goes on from, where no other is asked for.
std::unique_ptr<Backend> open_device(DeviceOptions& device, const Checkpoint* checkpoint) {
  if (checkpoint && device.dtype == DeviceOptions::kAutomatic)
    if (const auto had = checkpoint->facts.settings.find("dtype"); had != checkpoint->facts.settings.end())
      device.dtype = had->second;
  return device.open();
}

/// What a run learns from and is watched with.
struct Sources {
  std::unique_ptr<Backend> backend;
  Dataset train;
  std::optional<Dataset> query;

  /// skipped: the list of unreadable images; empty: none. Options that the checkpoint, if there is one, or the device
  /// or the data decide become what these say.
  Sources(PretrainOptions& o, const Options& options, const std::filesystem::path& skipped,
          const Checkpoint* checkpoint)
      : backend(open_device(o.device, checkpoint)), train(o.data.load_train()) {
    o.settings.dtype = o.device.type();
    report(train, skipped);
    o.resolve_tau_plus(train);
    query = load_queries(o, train, options.given("knn"));
    if (query) check_neighbours(o.monitor.k, std::ssize(labelled_images(train)));
    // As many as in a step: they fit where steps do.
    o.monitor.batch = std::min(o.monitor.batch, o.settings.views() * o.settings.part());
    if (query) o.plan.monitor = o.monitor;
    o.knn = query.has_value();  // config.toml, which would otherwise ask for a monitor that there cannot be
  }
};

/// The run, with the memory that it needs.
std::unique_ptr<Pretrainer> make_pretrainer(const Sources& sources, const PretrainOptions& o,
                                            const std::filesystem::path& checkpoints) {
  try {
    return std::make_unique<Pretrainer>(*sources.backend, sources.train, &sources.train,
                                        sources.query ? &*sources.query : nullptr, o.settings, o.plan, checkpoints);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    fail(error.kind(),
         std::string(error.what()) +
             "; --micro_batch_size N keeps the batch and puts N of its images into the network at a time");
  }
}

/// What env.json says of a run beside versions and machine.
std::vector<std::pair<std::string, std::string>> facts_of(const Backend& backend,
                                                          const std::optional<KnownLabels>& labels) {
  const BackendInfo info = backend.info();
  std::vector<std::pair<std::string, std::string>> facts{{"backend", info.name}, {"device", info.device}};
  if (labels) {
    const auto add = [&](const char* name, auto value) { facts.emplace_back(name, fmt::format("{}", value)); };
    add("labels", labels->labelled);
    add("labels_known", labels->known);
    add("labels_wrong", labels->changed);
    add("class_pairs_known", labels->pairs_told);
    add("known_pairs_wrong", labels->pairs_wrong);
  }
  return facts;
}

void report(const KnownLabels& labels) {
  log(LogLevel::info,
      fmt::format("of {} labels the objective knows {}, {} of them wrong: it takes {:.3g}% of the pairs of one class "
                  "for such, and {:.3g}% of the pairs that it takes for such are of two classes",
                  labels.labelled, labels.known, labels.changed, 100 * labels.pairs_told, 100 * labels.pairs_wrong));
}

int estimate(PretrainOptions& o, const Options& options) {
  const Sources sources(o, options, {}, nullptr);
  const auto pretrainer = make_pretrainer(sources, o, o.run_dir / "checkpoints");
  print_estimate(pretrainer->estimate(kEstimateSeconds), o.settings);
  return 0;
}

int pretrain(PretrainOptions& o, const Options& options, int argc, char** argv) try {
  for (const std::string& line : without_effect(o.settings)) log(LogLevel::warning, line);
  RunDirectory run(o.run_dir, o.data.train.name + "_" + o.objective + "_b" + std::to_string(o.settings.batch));
  Signals signals;
  o.data.while_reading = end_of_reading(signals, o.slurm_requeue);
  const CheckpointFolder folder(run.checkpoints());
  const std::optional<Checkpoint> checkpoint = choose_checkpoint(o.resume, folder);
  const Sources sources(o, options, run.path() / "skipped_images.csv", checkpoint ? &*checkpoint : nullptr);
  const auto made = make_pretrainer(sources, o, run.checkpoints());
  Pretrainer& pretrainer = *made;
  if (checkpoint) pretrainer.resume(*checkpoint, o.resume_override);
  if (const int64_t step = pretrainer.position().step, last = pretrainer.total_steps(); step > last) {
    log(LogLevel::info, "run directory " + run.path().string() + ": nothing to do, it is at step " +
                            std::to_string(step) + " and these settings end at step " + std::to_string(last));
    return 0;
  }
  run.record(options, argc, argv, facts_of(*sources.backend, pretrainer.labels()));
  MetricsLog metrics(run.path(), Reporter::columns(), pretrainer.position().step);
  log(LogLevel::info,
      "run directory " + run.path().string() + ": " + (checkpoint ? "continuing after step " : "starting after step ") +
          std::to_string(pretrainer.position().step) + " of " + std::to_string(pretrainer.total_steps()));
  if (pretrainer.labels()) report(*pretrainer.labels());

  const auto tensorboard = open_tensorboard(o, run, *sources.backend, sources.train, pretrainer.position().step);
  Reporter reporter(metrics, tensorboard.get(), pretrainer, signals, o.settings.epochs);
  const bool complete = pretrainer.position().step == pretrainer.total_steps();
  const PretrainEnd end = pretrainer.run(reporter);
  reporter.flush();
  if (end == PretrainEnd::finished) {
    if (complete) log(LogLevel::info, "the run was complete already; with more --epochs it goes on");
    return 0;
  }
  if (signals.requeue_requested() && o.slurm_requeue) requeue_slurm_job();
  log(LogLevel::info,
      "interrupted; checkpoint saved, " +
          (o.run_dir.empty() ? "--run_dir " + run.path().string() + " continues" : "the same command continues"));
  return kExitInterrupted;
} catch (const Interrupted&) {
  log(LogLevel::info, "interrupted before the first step: there is nothing to save, the same command begins again");
  return kExitInterrupted;
}

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  dcl::Options options(
      "dcl-pretrain", "Trains an encoder on images without labels (Debiased Contrastive Learning).",
      {"dcl-pretrain --dataset shapes --arch resnet18 --batch_size 128 --epochs 4 --run_dir runs/shapes",
       "dcl-pretrain --dataset stl10 --data data/stl10_binary --tau_plus 0.1 --run_dir runs/stl10",
       "dcl-pretrain --config runs/stl10/config.toml --run_dir runs/again"});
  dcl::PretrainOptions pretrain;
  pretrain.add_to(options);
  return dcl::run_app(argc, argv, options, [&] {
    pretrain.resolve(options);
    return pretrain.estimate ? dcl::estimate(pretrain, options) : dcl::pretrain(pretrain, options, argc, argv);
  });
}
