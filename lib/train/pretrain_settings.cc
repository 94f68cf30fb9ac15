#include "train/pretrain_settings.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/log.h"
#include "core/number.h"
#include "core/registry.h"
#include "io/checksum.h"

namespace dcl {
namespace {

void require(bool holds, const std::string& message) {
  if (!holds) fail(ErrorKind::usage, message);
}

bool positive(double value) { return std::isfinite(value) && value > 0; }
bool not_negative(double value) { return std::isfinite(value) && value >= 0; }

/// XXH3-128 of extents, labels and pixels. Between images may be room that was reserved for one that was skipped.
std::string fingerprint(const Dataset& dataset) {
  Checksum sum;
  for (const PooledImage& image : dataset.images) {
    const int32_t extent[] = {image.h, image.w};
    sum.add(extent, sizeof extent);
  }
  sum.add(dataset.labels.data(), dataset.labels.size() * sizeof(int32_t));
  for (const PooledImage& image : dataset.images)
    sum.add(dataset.pixels.data() + image.offset, static_cast<size_t>(bytes_of(image)));
  return sum.text();
}

/// What of the views is not as published; checkpoints from before these could be set have none of them.
void add_changed_views(const AugmentSettings& now, std::map<std::string, std::string>& all) {
  const AugmentSettings published;
  const auto number = [&](const char* name, double AugmentSettings::*member) {
    if (now.*member != published.*member) all[name] = number_text(now.*member);
  };
  number("crop_min_scale", &AugmentSettings::scale_min);
  number("flip_probability", &AugmentSettings::flip_probability);
  number("jitter_probability", &AugmentSettings::jitter_probability);
  number("brightness", &AugmentSettings::brightness);
  number("contrast", &AugmentSettings::contrast);
  number("saturation", &AugmentSettings::saturation);
  number("hue", &AugmentSettings::hue);
  number("gray_probability", &AugmentSettings::gray_probability);
  number("blur_probability", &AugmentSettings::blur_probability);
  if (now.normalization != published.normalization) all["normalization"] = name_of(now.normalization);
}

}  // namespace

void check(const PretrainSettings& s) {
  check(s.objective);
  require(s.batch >= 2,
          "batch_size is " + std::to_string(s.batch) + ": a batch needs at least 2 images to have negatives");
  require(s.micro_batch == 0 || (s.micro_batch >= 2 && s.batch % s.micro_batch == 0),
          "micro_batch_size is " + std::to_string(s.micro_batch) +
              ": expected 0, or 2 or more images that divide batch_size, " + std::to_string(s.batch));
  require(s.bn_groups >= 1 && s.part() % s.bn_groups == 0 && s.part() / s.bn_groups >= 2,
          "bn_groups is " + std::to_string(s.bn_groups) + ": expected parts of 2 or more images of " +
              std::to_string(s.part()) + ", all of one size");
  require(s.num_positives >= 1 && s.num_positives <= 64, "num_positives must be 1 to 64");
  require(s.num_positives == 1 || debiases(s.objective.kind),
          "num_positives above 1 needs a debiasing term: --objective debiased or hard");
  check(s.labels);
  require(s.labels.whole() || knows_labels(s.objective.kind),
          "label_noise above 0 and label_fraction below 1 need an objective that knows labels: --objective unbiased or "
          "supcon");
  require(s.epochs >= 1 && s.epochs <= kMostEpochs, "epochs must be 1 to " + std::to_string(kMostEpochs));
  require(positive(s.lr), "lr is " + number_text(s.lr) + ", expected a positive number");
  require(not_negative(s.final_lr), "final_lr must be 0 or more");
  require(not_negative(s.warmup_epochs) && s.warmup_epochs <= static_cast<double>(kMostEpochs),
          "warmup_epochs must be 0 to " + std::to_string(kMostEpochs));
  require(not_negative(s.optimizer.weight_decay), "weight_decay must be 0 or more");
  require(s.optimizer.momentum >= 0 && s.optimizer.momentum < 1, "momentum must be in [0, 1)");
  require(!s.optimizer.nesterov || (s.optimizer.kind == OptimizerKind::sgd && s.optimizer.momentum > 0),
          "nesterov needs --optimizer sgd and a momentum above 0");
  check(s.augment);
}

std::vector<std::string> without_effect(const PretrainSettings& s) {
  const PretrainSettings usual;
  std::vector<std::string> lines;
  const auto told = [&](const char* setting, bool other, bool matters, const char* of) {
    if (other && !matters) lines.push_back(std::string(setting) + " has no effect: it is of " + of);
  };
  const bool hard = s.objective.kind == ObjectiveKind::hard;
  told("beta", s.objective.beta != usual.objective.beta, hard, "objective hard");
  told("beta_anneal", s.objective.beta_anneal != usual.objective.beta_anneal, hard, "objective hard");
  told("negative_scale", s.objective.scale != usual.objective.scale, s.objective.kind == ObjectiveKind::unbiased,
       "objective unbiased");
  told("momentum", s.optimizer.momentum != usual.optimizer.momentum, s.optimizer.kind != OptimizerKind::adam,
       "optimizers sgd and lars");
  told("final_lr", s.final_lr != usual.final_lr, s.schedule == ScheduleKind::cosine, "schedule cosine");
  return lines;
}

std::optional<KnownLabels> objective_labels(const PretrainSettings& s, const Dataset& dataset) {
  if (!knows_labels(s.objective.kind)) return std::nullopt;
  const std::string name(name_of(s.objective.kind));
  const auto unknown = std::count(dataset.labels.begin(), dataset.labels.end(), kUnknownLabel);
  require(unknown < dataset.size(), "objective " + name +
                                        " tells negatives of the same class by their labels, and no image of " +
                                        dataset.described() + ", has one");
  if (unknown > 0)
    log(LogLevel::warning, std::to_string(unknown) + " of " + std::to_string(dataset.size()) +
                               " images have no label: objective " + name + " takes them for negatives of all others");
  if (s.labels.whole()) return std::nullopt;
  return known_labels(dataset, s.labels, s.seed);
}

std::map<std::string, std::string> trajectory_of(const PretrainSettings& s, const Dataset& dataset, F32Math f32_math) {
  const ObjectiveSettings& o = s.objective;
  std::map<std::string, std::string> all{
      {"arch", s.model.arch},
      {"stem", std::string(name_of(s.model.stem))},
      {"feature_dim", std::to_string(s.model.feature_dim)},
      {"image_size", std::to_string(s.augment.size)},
      {"luma", s.augment.luma == LumaRule::pillow7 ? "pillow7" : "pillow6"},
      {"objective", std::string(name_of(o.kind))},
      {"temperature", number_text(o.temperature)},
      {"batch_size", std::to_string(s.batch)},
      {"optimizer", name_of(s.optimizer.kind)},
      {"lr", number_text(s.lr)},
      {"weight_decay", number_text(s.optimizer.weight_decay)},
      {"schedule", s.schedule == ScheduleKind::constant ? "constant" : "cosine"},
      {"warmup_epochs", number_text(s.warmup_epochs)},
      {"dtype", name_of(Precision{s.dtype, f32_math})},
      {"seed", std::to_string(s.seed)},
      {"dataset", dataset.name},
      {"split", dataset.split},
      {"images", std::to_string(dataset.size())},
      {"images_hash", fingerprint(dataset)},
  };
  add_changed_views(s.augment, all);
  if (debiases(s.objective.kind)) {
    all["tau_plus"] = number_text(o.tau_plus);
    all["num_positives"] = std::to_string(s.num_positives);
  }
  if (s.bn_groups != 1) all["bn_groups"] = std::to_string(s.bn_groups);
  if (s.part() != s.batch) all["micro_batch_size"] = std::to_string(s.part());
  if (o.kind == ObjectiveKind::hard) {
    all["beta"] = number_text(o.beta);
    if (o.beta_anneal != BetaAnneal::none) {
      all["beta_anneal"] = name_of(o.beta_anneal);
      all["epochs"] = std::to_string(s.epochs);
    }
  }
  if (o.kind == ObjectiveKind::unbiased) all["negative_scale"] = name_of(o.scale);
  if (knows_labels(o.kind)) {
    if (s.labels.noise != 0) all["label_noise"] = number_text(s.labels.noise);
    if (s.labels.fraction != 1) all["label_fraction"] = number_text(s.labels.fraction);
  }
  if (s.optimizer.kind != OptimizerKind::adam) all["momentum"] = number_text(s.optimizer.momentum);
  if (s.optimizer.nesterov) all["nesterov"] = "true";
  if (s.schedule == ScheduleKind::cosine) {
    all["epochs"] = std::to_string(s.epochs);
    all["final_lr"] = number_text(s.final_lr);
  }
  return all;
}

std::map<std::string, std::string> machine_of(const Backend& backend) {
  const BackendInfo info = backend.info();
  std::map<std::string, std::string> all{{"backend", info.name}};
  if (info.bits_depend_on.empty()) {
    all.emplace("device", info.device);
    all.insert(info.libraries.begin(), info.libraries.end());
  }
  all.insert(info.bits_depend_on.begin(), info.bits_depend_on.end());
  return all;
}

std::string differences(const std::map<std::string, std::string>& saved,
                        const std::map<std::string, std::string>& now) {
  std::string text;
  const auto add = [&](const std::string& name, const std::string& before, const std::string& after) {
    text += (text.empty() ? "" : ", ") + name + " " + before + " -> " + after;
  };
  for (const auto& [name, value] : saved) {
    const auto found = now.find(name);
    if (found == now.end()) {
      add(name, value, "(not set)");
    } else if (found->second != value) {
      add(name, value, found->second);
    }
  }
  for (const auto& [name, value] : now)
    if (!saved.contains(name)) add(name, "(not set)", value);
  return text;
}

}  // namespace dcl
