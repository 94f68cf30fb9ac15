// dcl-pretrain: trains an encoder without labels; the program around Pretrainer.
#include <cmath>
#include <memory>

#include "common_options.h"
#include "core/file.h"
#include "core/log.h"
#include "io/csv.h"
#include "run/app.h"
#include "run/metrics.h"
#include "run/progress.h"
#include "run/run_directory.h"
#include "run/signals.h"
#include "train/pretrain.h"
#include "train/tensorboard.h"

namespace dcl {
namespace {

struct PretrainOptions {
  DataOptions data;
  DeviceOptions device;
  PretrainSettings settings;
  PretrainPlan plan;
  MonitorSettings monitor;
  std::string arch = "resnet50", stem = "cifar", objective = "debiased", beta_anneal = "none",
              negative_scale = "mean", optimizer = "adam", schedule = "constant", luma = "pillow7", resume = "auto", on_nan = "stop";
  bool debiased = true, knn = true, tensorboard = false, slurm_requeue = false, resume_override = false;
  double knn_temperature = 0;
  std::filesystem::path run_dir;

  void add_to(Options& options);
  /// Settings from words, and what two flags say together. After parsing.
  void resolve(const Options& options);

 private:
  void settle_objective(const Options& options);
};

void PretrainOptions::add_to(Options& options) {
  data.add_to(options);
  options.group("Model");
  options.add("arch", &arch, "encoder").choices({"resnet18", "resnet34", "resnet50", "resnet101"});
  options.add("stem", &stem, "cifar: 3x3, no max-pool; imagenet: 7x7 and max-pool").choices({"cifar", "imagenet"});
  options.add("feature_dim", &settings.model.feature_dim, "width of the projection").range(1, 65536);
  options.add("image_size", &settings.augment.size, "height and width of a view, pixels").range(8, 1024);
  options.add("luma", &luma, "rounding of gray values, of Pillow 7 and newer or of Pillow 6").choices({"pillow7", "pillow6"});
  options.group("Objective");
  options.add("objective", &objective, "which negatives").choices({"biased", "debiased", "hard", "unbiased"});
  options.add("debiased", &debiased, "--no-debiased is short for --objective biased");
  options.add("temperature", &settings.objective.temperature, "of the similarities");
  options.add("tau_plus", &settings.objective.tau_plus, "class probability of the debiasing term, in [0, 1)");
  options.add("num_positives", &settings.num_positives, "positives M of the debiasing term; each above 1 is an extra view");
  options.add("beta", &settings.objective.beta, "concentration of the hard negatives");
  options.add("beta_anneal", &beta_anneal, "down: from beta to 0 in nine steps over the epochs").choices({"none", "down"});
  options.add("negative_scale", &negative_scale, "how unbiased weighs the true negatives").choices({"mean", "sum"});
  options.group("Optimisation");
  options.add("batch_size", &settings.batch, "images per step");
  options.add("micro_batch_size", &settings.micro_batch,
              "images in the network at a time, for batches beyond memory; 0: all. Batch norm is over these");
  options.add("epochs", &settings.epochs, "passes over the images");
  options.add("max_steps", &plan.max_steps, "stop after N steps in all; 0: after the epochs").range(0, 1e15).transient();
  options.add("optimizer", &optimizer, "update rule").choices({"adam", "sgd", "lars"});
  options.add("lr", &settings.lr, "learning rate");
  options.add("weight_decay", &settings.optimizer.weight_decay, "L2, added to the gradient");
  options.add("momentum", &settings.optimizer.momentum, "of sgd and lars");
  options.add("schedule", &schedule, "of the learning rate, after warm-up").choices({"constant", "cosine"});
  options.add("warmup_epochs", &settings.warmup_epochs, "linear warm-up");
  options.add("final_lr", &settings.final_lr, "learning rate at the end of cosine");
  options.add("seed", &settings.seed, "of weights, order and views");
  options.group("Monitoring and checkpoints");
  options.add("run_dir", &run_dir, "run directory; empty: a new one below runs/").transient();
  options.add("resume", &resume, "auto: from the newest valid checkpoint of the run directory if there is one; never; must; or a file").transient();
  options.add("resume_override", &resume_override, "continue although settings that shape the trajectory are others")
      .transient();
  options.add("on_nan", &on_nan,
              "a loss that is not finite: stop; skip:N leaves the batch out, at most N in a row; rollback:N goes "
              "back to the newest checkpoint's weights, at most N times");
  options.add("checkpoint_every", &plan.checkpoint_every, "steps; 0: at the end of every epoch").range(0, 1e15);
  options.add("test_every", &plan.test_every, "epochs between kNN evaluations; 0: only at the end").range(0, 1e9);
  options.add("knn", &knn, "kNN monitor (labelled images of --split against --test_split)");
  options.add("k", &monitor.k, "its neighbours").range(1, 1e6);
  options.add("knn_temperature", &knn_temperature, "its temperature; 0: --temperature, as published").range(0, 1e6);
  options.add("eval_size", &monitor.eval_size, "height and width it evaluates at; 0: the images' own")
      .range(0, kMostEvalSize);
  options.add("keep_last", &plan.keep_last, "newest checkpoints that pruning keeps").range(1, 1e9);
  options.add("keep_every", &plan.keep_every, "checkpoints at multiples of N steps are kept too; 0: none").range(0, 1e15);
  options.add("graph", &plan.use_graph, "record the step once and replay it, on a GPU as one CUDA graph");
  options
      .add("steps_ahead", &plan.steps_ahead,
           "unfinished steps that may be enqueued on a device; -1: 4 on a GPU, 0 on a CPU")
      .range(-1, 15);
  options.add("max_failed_checkpoints", &plan.max_failed_checkpoints, "in a row, before the run gives up").range(0, 1e6);
  options.add("tensorboard", &tensorboard, "also write a TensorBoard event file into the run directory");
  options.add("slurm_requeue", &slurm_requeue, "after SIGUSR1, hand the job back to Slurm").transient();
  device.add_to(options);
}

/// Of --debiased and --objective the one from the source that comes first counts; afterwards both say the same.
void PretrainOptions::settle_objective(const Options& options) {
  const auto debiases = [&] { return objective == "debiased" || objective == "hard"; };
  const OptionSource said = options.option("debiased").source(), named = options.option("objective").source();
  if (said > named) {
    if (!debiased && debiases()) objective = "biased";
    if (debiased && objective == "biased") objective = "debiased";
  } else if (said == named && options.given("debiased") && !debiased && debiases()) {
    fail(ErrorKind::usage, "--no-debiased contradicts --objective " + objective + ": give one of them");
  }
  debiased = debiases();
}

void PretrainOptions::resolve(const Options& options) {
  data.resolve("train+unlabeled");
  settle_objective(options);
  settings.model.arch = arch;
  settings.model.stem = stem_from_name(stem);
  settings.objective.kind = parse_objective_kind(objective);
  settings.objective.scale = parse_negative_scale(negative_scale);
  settings.objective.beta_anneal = parse_beta_anneal(beta_anneal);
  settings.optimizer.kind = optimizer_kind_of(optimizer);
  settings.schedule = schedule_kind_of(schedule);
  settings.augment.luma = luma == "pillow7" ? LumaRule::pillow7 : LumaRule::pillow6;
  settings.dtype = device.type();
  monitor.temperature = knn_temperature > 0 ? knn_temperature : settings.objective.temperature;
  monitor.pixels = augment_desc(settings.augment);
  check(settings);
  plan.on_nan = on_nan_of(on_nan);
  if (resume != "auto" && resume != "never" && resume != "must" && !std::filesystem::exists(resume))
    fail(ErrorKind::usage, "--resume: there is no checkpoint " + dcl::quoted(resume) +
                               "; expected auto, never, must or an existing file");
  if (const std::string warning = tau_plus_warning(settings.objective); !warning.empty()) log(LogLevel::warning, warning);
}

/// Progress on the terminal, rows in the metrics, signals from outside.
class Reporter : public PretrainObserver {
 public:
  /// tensorboard: may be null.
  Reporter(MetricsLog& metrics, TensorBoardLog* tensorboard, const Pretrainer& pretrainer, Signals& signals, int64_t epochs)
      : metrics_(metrics), tensorboard_(tensorboard), pretrainer_(pretrainer), signals_(signals), epochs_(epochs) {}

  void on_step(const StepRecord& r) override {
    metrics_.write({{"split", "train"}, {"step", r.step}, {"epoch", r.epoch}, {"loss", r.loss},
                    {"clamp_fraction", r.clamp_fraction}, {"mean_positive", r.mean_positive},
                    {"mean_negative", r.mean_negative}, {"lr", r.lr}, {"images_per_second", r.images_per_second},
                    {"wait_fraction", r.wait_fraction}});
    if (tensorboard_) tensorboard_->step(r);
    if (!progress_) progress_ = std::make_unique<Progress>(r.steps_per_epoch);
    char label[128];
    std::snprintf(label, sizeof label, "Train Epoch: [%lld/%lld] Loss: %.4f clamp %.0f%% %.0f img/s wait %.0f%%",
                  static_cast<long long>(r.epoch), static_cast<long long>(epochs_), r.loss, 100 * r.clamp_fraction,
                  r.images_per_second, 100 * r.wait_fraction);
    progress_->update(r.step_in_epoch, label);
  }
  void on_left_out(const StepRecord& r, const std::string& what) override {
    metrics_.write({{"split", "left_out"}, {"step", r.step}, {"epoch", r.epoch}, {"loss", r.loss}, {"lr", r.lr}});
    log(LogLevel::warning, what + "; its update was left out");
  }
  void on_epoch(int64_t epoch, double mean_loss, double seconds) override {
    if (progress_) progress_->finish();
    progress_.reset();
    char line[128];
    if (std::isfinite(mean_loss))
      std::snprintf(line, sizeof line, "epoch %lld: mean loss %.4f, %.1f s", static_cast<long long>(epoch), mean_loss, seconds);
    else
      std::snprintf(line, sizeof line, "epoch %lld: every step was left out, %.1f s", static_cast<long long>(epoch), seconds);
    log(LogLevel::info, line);
  }
  void on_monitor(const MonitorRecord& r) override {
    progress_.reset();
    metrics_.write({{"split", "knn"}, {"step", r.step}, {"epoch", r.epoch}, {"knn_top1", r.top1}, {"knn_top5", r.top5}});
    if (tensorboard_) tensorboard_->monitor(r);
    char line[128];
    std::snprintf(line, sizeof line, "kNN after epoch %lld (step %lld): top-1 %.2f%% top-5 %.2f%%, %.1f s%s",
                  static_cast<long long>(r.epoch), static_cast<long long>(r.step), r.top1, r.top5, r.seconds, r.best ? ", best" : "");
    log(LogLevel::info, line);
  }
  void on_checkpoint(const std::filesystem::path& model) override {
    log(LogLevel::info, "checkpoint " + model.string());
    if (tensorboard_) tensorboard_->weights(pretrainer_.position().step, pretrainer_.parameters());
  }
  bool stop_requested() override { return signals_.stop_requested(); }
  bool take_checkpoint_request() override { return signals_.take_checkpoint_request(); }

  static std::vector<std::string> columns() {
    return {"split", "step", "epoch", "loss", "clamp_fraction", "mean_positive", "mean_negative", "lr",
            "images_per_second", "wait_fraction", "knn_top1", "knn_top5"};
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
  const std::vector<uint8_t> config = read_file(run.path() / "config.toml", 1 << 20);
  tensorboard->configuration({reinterpret_cast<const char*>(config.data()), config.size()});
  tensorboard->views(first_training_views(backend, train, o.settings));
  return tensorboard;
}

/// Beside tau_plus, the value that the labels give it.
void say_same_class_probability(const Dataset& train, const ObjectiveSettings& objective) {
  const std::optional<double> probability = train.same_class_probability();
  if (!probability || !debiases(objective.kind)) return;
  char text[160];
  std::snprintf(text, sizeof text, "by their labels, two images share a class with probability %.4g; tau_plus is %.4g",
                *probability, objective.tau_plus);
  log(LogLevel::info, text);
}

/// The query images of the monitor; nothing, with a notice, when there is nothing to monitor with and it was not asked for.
std::optional<Dataset> load_queries(const PretrainOptions& o, const Dataset& train, bool asked_for) {
  if (!o.knn) return std::nullopt;
  try {
    if (labelled_images(train).empty())
      fail(ErrorKind::data, "the images of split '" + train.split + "' have no labels to be a kNN bank");
    Dataset query = o.data.load_test(train);
    evaluation_pixels(train, o.monitor.eval_size);
    evaluation_pixels(query, o.monitor.eval_size);
    if (labelled_images(query).empty()) fail(ErrorKind::data, "the images of split '" + query.split + "' have no labels");
    return query;
  } catch (const Error& error) {
    if (asked_for || (error.kind() != ErrorKind::data && error.kind() != ErrorKind::io)) throw;
    log(LogLevel::warning, std::string("kNN monitor is off: ") + error.what());
    return std::nullopt;
  }
}

/// The run, with the memory that it needs.
std::unique_ptr<Pretrainer> make_pretrainer(Backend& backend, const Dataset& train, const Dataset* query,
                                            const PretrainOptions& o, const RunDirectory& run) {
  try {
    return std::make_unique<Pretrainer>(backend, train, &train, query, o.settings, o.plan, run.checkpoints());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    fail(error.kind(), std::string(error.what()) +
                           "; --micro_batch_size N keeps the batch and puts N of its images into the network at a time");
  }
}

int pretrain(PretrainOptions& o, const Options& options, int argc, char** argv) {
  RunDirectory run(o.run_dir, o.data.train.name + "_" + o.objective + "_b" + std::to_string(o.settings.batch));
  Signals signals;
  const auto backend = o.device.open();
  const Dataset train = load_dataset(o.data.train);
  report(train, run.path() / "skipped_images.csv");
  say_same_class_probability(train, o.settings.objective);
  const std::optional<Dataset> query = load_queries(o, train, options.given("knn"));
  if (query) o.plan.monitor = o.monitor;
  o.knn = query.has_value();  // config.toml, which would otherwise ask for a monitor that there cannot be

  const CheckpointFolder folder(run.checkpoints());
  const std::optional<Checkpoint> checkpoint = choose_checkpoint(o.resume, folder);
  const auto made = make_pretrainer(*backend, train, query ? &*query : nullptr, o, run);
  Pretrainer& pretrainer = *made;
  if (checkpoint) pretrainer.resume(*checkpoint, o.resume_override);
  if (const int64_t step = pretrainer.position().step, last = pretrainer.total_steps(); step > last) {
    log(LogLevel::info, "run directory " + run.path().string() + ": nothing to do, it is at step " + std::to_string(step) +
                            " and these settings end at step " + std::to_string(last));
    return 0;
  }
  const BackendInfo info = backend->info();
  run.record(options, argc, argv, {{"backend", info.name}, {"device", info.device}});
  MetricsLog metrics(run.path(), Reporter::columns(), pretrainer.position().step);
  log(LogLevel::info, "run directory " + run.path().string() + ": " + (checkpoint ? "continuing after step " : "starting after step ") +
                          std::to_string(pretrainer.position().step) + " of " + std::to_string(pretrainer.total_steps()));

  const auto tensorboard = open_tensorboard(o, run, *backend, train, pretrainer.position().step);
  Reporter reporter(metrics, tensorboard.get(), pretrainer, signals, o.settings.epochs);
  if (pretrainer.run(reporter) == PretrainEnd::finished) return 0;
  if (signals.requeue_requested() && o.slurm_requeue) requeue_slurm_job();
  log(LogLevel::info,
      "interrupted; checkpoint saved, " +
          (o.run_dir.empty() ? "--run_dir " + run.path().string() + " continues" : "the same command continues"));
  return kExitInterrupted;
}

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  dcl::Options options("dcl-pretrain", "Trains an encoder on images without labels (Debiased Contrastive Learning).",
                       {"dcl-pretrain --dataset shapes --arch resnet18 --batch_size 128 --epochs 4 --run_dir runs/shapes",
                        "dcl-pretrain --dataset stl10 --data data/stl10_binary --tau_plus 0.1 --run_dir runs/stl10",
                        "dcl-pretrain --config runs/stl10/config.toml --run_dir runs/again"});
  dcl::PretrainOptions pretrain;
  pretrain.add_to(options);
  return dcl::run_app(argc, argv, options, [&] {
    pretrain.resolve(options);
    return dcl::pretrain(pretrain, options, argc, argv);
  });
}
