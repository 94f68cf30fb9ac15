// What a pretraining run is: everything that shapes its trajectory.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "augment/augment.h"
#include "data/dataset.h"
#include "nn/model_config.h"
#include "objective/objective.h"
#include "train/known_labels.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace dcl {

/// More passes than any run makes, and few enough for the number of steps to be counted.
inline constexpr int64_t kMostEpochs = 1'000'000'000;

struct PretrainSettings {
  ModelConfig model;
  AugmentSettings augment;  ///< augment.size: height and width of a view
  ObjectiveSettings objective;
  LabelSettings labels;     ///< of objectives that know labels
  int num_positives = 1;    ///< M: positives of the debiasing term; a batch has M + 1 views
  int64_t batch = 256;      ///< images per step
  int64_t micro_batch = 0;  ///< images that are in the network at a time, a divisor of batch; 0: all
  int64_t bn_groups = 1;    ///< NetworkShape::bn_groups
  int64_t epochs = 400;
  OptimizerSettings optimizer;
  ScheduleKind schedule = ScheduleKind::constant;
  double lr = 1e-3, final_lr = 0.0;
  double warmup_epochs = 0;
  DType dtype = DType::f32;
  uint64_t seed = 0;

  int views() const { return num_positives + 1; }
  int64_t part() const { return micro_batch > 0 ? micro_batch : batch; }
};

/// Error{usage} naming the first setting that is out of range.
void check(const PretrainSettings& settings);
/// One line for each setting that is not the usual one and changes nothing beside the others: "beta_anneal has ...".
std::vector<std::string> without_effect(const PretrainSettings& settings);
/// What the objective is told of the labels; nothing where that is what the data set says. Of an objective that knows
/// true negatives by their labels: Error{usage} when no image has one, a warning when some have none, which are true
/// negatives of every other image.
std::optional<KnownLabels> objective_labels(const PretrainSettings& settings, const Dataset& dataset);

/// The settings, the data and the backend's f32 arithmetic as flag names and values: two runs with equal maps, on the
/// same backend, are the same run.
std::map<std::string, std::string> trajectory_of(const PretrainSettings& settings, const Dataset& dataset,
                                                 F32Math f32_math);

/// What the bits of a run depend on besides: backend, processor, and what else its backend names.
std::map<std::string, std::string> machine_of(const Backend& backend);

/// Every difference between two such maps: "tau_plus 0.1 -> 0.05, ..."; "" when they are equal.
std::string differences(const std::map<std::string, std::string>& saved, const std::map<std::string, std::string>& now);

}  // namespace dcl
