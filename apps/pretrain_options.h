// The options of dcl-pretrain, and what they become.
#pragma once

#include <filesystem>
#include <string>

#include "common_options.h"
#include "run/options.h"
#include "train/pretrain.h"

namespace dcl {

struct PretrainOptions {
  DataOptions data;
  DeviceOptions device{.dtype = DeviceOptions::kAutomatic};
  PretrainSettings settings;
  PretrainPlan plan;
  MonitorSettings monitor;
  std::string arch = "resnet50", stem = "cifar", objective = "debiased", tau_plus = "0.1", beta_anneal = "none",
              negative_scale = "mean", optimizer = "adam", schedule = "constant", luma = "pillow7",
              normalization = "published", resume = "auto", on_nan = "stop";
  bool debiased = true, knn = true, tensorboard = false, slurm_requeue = false, resume_override = false,
       estimate = false;
  double knn_temperature = 0, jitter_strength = kPublishedJitterStrength;
  std::filesystem::path run_dir;

  void add_to(Options& options);
  /// Settings from words, and what two flags say together. After parsing.
  void resolve(const Options& options);
  /// tau_plus where it is "auto", and what the labels say of it where it is a number. After resolve().
  void resolve_tau_plus(const Dataset& train);

 private:
  void add_augmentation(Options& options);
  void add_objective(Options& options);
  void add_optimisation(Options& options);
  void add_monitoring(Options& options);
  void settle_objective(const Options& options);
  void settle_augmentation();
};

}  // namespace dcl
