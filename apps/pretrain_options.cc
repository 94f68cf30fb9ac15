#include "pretrain_options.h"

#include <fmt/format.h>

#include <optional>

#include "core/file.h"
#include "core/log.h"

namespace dcl {

void PretrainOptions::add_to(Options& options) {
  data.add_to(options, Splits::two);
  options.group("Model");
  options.add("arch", &arch, "encoder").choices({"resnet18", "resnet34", "resnet50", "resnet101"});
  options.add("stem", &stem, "cifar: 3x3, no max-pool; imagenet: 7x7 and max-pool").choices({"cifar", "imagenet"});
  options.add("feature_dim", &settings.model.feature_dim, "width of the projection").range(1, 65536);
  add_augmentation(options);
  add_objective(options);
  add_optimisation(options);
  add_monitoring(options);
  device.add_to(options);
}

void PretrainOptions::add_augmentation(Options& options) {
  AugmentSettings& a = settings.augment;
  options.group("Augmentation");
  options.add("image_size", &a.size, "height and width of a view, pixels").range(8, 1024);
  options.add("crop_min_scale", &a.scale_min, "smallest crop, as a share of the image's area").range(1e-4, 1);
  options.add("flip_probability", &a.flip_probability, "of a view to be mirrored").range(0, 1);
  options.add("jitter_probability", &a.jitter_probability, "of a view to have its colours changed").range(0, 1);
  options
      .add("jitter_strength", &jitter_strength,
           "S of SimCLR's colour jitter: brightness, contrast and saturation by up to 0.8 S, hue by up to 0.2 S")
      .range(0, kMostJitterStrength);
  options.add("gray_probability", &a.gray_probability, "of a view to become gray").range(0, 1);
  options.add("blur_probability", &a.blur_probability, "of a view to be blurred").range(0, 1);
  options.add("luma", &luma, "rounding of gray values, of Pillow 7 and newer or of Pillow 6")
      .choices({"pillow7", "pillow6"});
  options
      .add("normalization", &normalization,
           "of pixels: published (CIFAR-10's mean and deviation), imagenet, half (to [-1, 1]), none (to [0, 1])")
      .choices(normalization_names());
}

void PretrainOptions::add_objective(Options& options) {
  options.group("Objective");
  options.add("objective", &objective, "which negatives; of supcon, which positives too").choices(objective_names());
  options.add("debiased", &debiased, "--no-debiased is short for --objective biased");
  options.add("temperature", &settings.objective.temperature, "of the similarities");
  options.add(
      "tau_plus", &tau_plus,
      "class probability of the debiasing term, in [0, 1); auto: how likely two images share a class, by their labels");
  options.add("num_positives", &settings.num_positives,
              "positives M of the debiasing term; each above 1 is an extra view");
  options.add("beta", &settings.objective.beta, "concentration of the hard negatives");
  options.add("beta_anneal", &beta_anneal, "down: from beta to 0 in nine steps over the epochs")
      .choices({"none", "down"});
  options.add("negative_scale", &negative_scale, "how unbiased weighs the true negatives").choices({"mean", "sum"});
  options.add("label_noise", &settings.labels.noise,
              "how likely the label that unbiased or supcon knows of an image is a wrong one, in [0, 1)");
  options.add("label_fraction", &settings.labels.fraction,
              "share of the labels of each class that unbiased or supcon knows, in (0, 1]");
}

void PretrainOptions::add_optimisation(Options& options) {
  options.group("Optimisation");
  options.add("batch_size", &settings.batch, "images per step");
  options.add("micro_batch_size", &settings.micro_batch,
              "images in the network at a time, for batches beyond memory; 0: all. Batch norm is over these");
  options.add("bn_groups", &settings.bn_groups,
              "batch norm over every view's images in N parts, as published code does on N GPUs (DataParallel)");
  options.add("epochs", &settings.epochs, "passes over the images");
  options.add("max_steps", &plan.max_steps, "stop after N steps in all; 0: after the epochs")
      .range(0, 1e15)
      .transient();
  options.add("optimizer", &optimizer, "update rule").choices({"adam", "sgd", "lars"});
  options.add("lr", &settings.lr, "learning rate");
  options.add("weight_decay", &settings.optimizer.weight_decay, "L2, added to the gradient");
  options.add("momentum", &settings.optimizer.momentum, "of sgd and lars");
  options.add("nesterov", &settings.optimizer.nesterov, "of sgd: Nesterov's momentum");
  options.add("schedule", &schedule, "of the learning rate, after warm-up").choices({"constant", "cosine"});
  options.add("warmup_epochs", &settings.warmup_epochs, "linear warm-up");
  options.add("final_lr", &settings.final_lr, "learning rate at the end of cosine");
  options.add("seed", &settings.seed, "of weights, order, views, and the labels of --label_noise and --label_fraction");
}

void PretrainOptions::add_monitoring(Options& options) {
  options.group("Monitoring and checkpoints");
  options.add("run_dir", &run_dir, "run directory; empty: a new one below runs/").transient();
  options
      .add("resume", &resume,
           "auto: from the newest valid checkpoint of the run directory if there is one; never; must; or a file")
      .transient();
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
  options.add("keep_every", &plan.keep_every, "checkpoints at multiples of N steps are kept too; 0: none")
      .range(0, 1e15);
  options.add("graph", &plan.use_graph, "record the step once and replay it, on a GPU as one CUDA graph");
  options
      .add("steps_ahead", &plan.steps_ahead,
           "unfinished steps that may be enqueued on a device; -1: 4 on a GPU, 0 on a CPU")
      .range(-1, 15);
  options.add("max_failed_checkpoints", &plan.max_failed_checkpoints, "in a row, before the run gives up")
      .range(0, 1e6);
  options.add("tensorboard", &tensorboard, "also write a TensorBoard event file into the run directory");
  options.add("slurm_requeue", &slurm_requeue, "after SIGUSR1, hand the job back to Slurm").transient();
  options
      .add("estimate", &estimate, "take a few steps, say how long the run will be and what it needs, and leave nothing")
      .transient();
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

void PretrainOptions::settle_augmentation() {
  AugmentSettings& a = settings.augment;
  set_jitter_strength(a, jitter_strength);
  a.luma = luma == "pillow7" ? LumaRule::pillow7 : LumaRule::pillow6;
  a.normalization = normalization_of(normalization);
}

void PretrainOptions::resolve(const Options& options) {
  data.resolve("train+unlabeled");
  settle_objective(options);
  settle_augmentation();
  settings.objective.tau_plus = parse_tau_plus(tau_plus).value_or(0);
  settings.model.arch = arch;
  settings.model.stem = stem_from_name(stem);
  settings.objective.kind = parse_objective_kind(objective);
  settings.objective.scale = parse_negative_scale(negative_scale);
  settings.objective.beta_anneal = parse_beta_anneal(beta_anneal);
  settings.optimizer.kind = optimizer_kind_of(optimizer);
  settings.schedule = schedule_kind_of(schedule);
  monitor.temperature = knn_temperature > 0 ? knn_temperature : settings.objective.temperature;
  monitor.pixels = augment_desc(settings.augment);
  check(settings);
  plan.on_nan = on_nan_of(on_nan);
  if (resume != "auto" && resume != "never" && resume != "must" && !std::filesystem::exists(resume))
    fail(ErrorKind::usage, "--resume: there is no checkpoint " + dcl::quoted(resume) +
                               "; expected auto, never, must or an existing file");
}

void PretrainOptions::resolve_tau_plus(const Dataset& train) {
  ObjectiveSettings& o = settings.objective;
  if (!debiases(o.kind)) return;
  const std::optional<double> of_labels = train.same_class_probability();
  const bool automatic = !parse_tau_plus(tau_plus);
  if (automatic && !of_labels)
    fail(ErrorKind::usage, "--tau_plus auto takes the probability from labels, and no two images of " +
                               train.described() + ", have one; give a number, such as 1 / (number of classes)");
  if (automatic) o.tau_plus = *of_labels;
  if (of_labels)
    log(LogLevel::info,
        fmt::format("by their labels, two images share a class with probability {:.4g}; tau_plus is {:.4g}", *of_labels,
                    o.tau_plus));
  check(o);
  if (const std::string warning = tau_plus_warning(o); !warning.empty()) log(LogLevel::warning, warning);
}

}  // namespace dcl
