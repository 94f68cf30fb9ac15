#include "train/pretrain_settings.h"

#include <cmath>

#include "core/error.h"
#include "core/log.h"
#include "io/csv.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace dcl {
namespace {

void require(bool holds, const std::string& message) {
  if (!holds) fail(ErrorKind::usage, message);
}

bool positive(double value) { return std::isfinite(value) && value > 0; }
bool not_negative(double value) { return std::isfinite(value) && value >= 0; }

std::string name_of(ObjectiveKind kind) {
  switch (kind) {
    case ObjectiveKind::biased: return "biased";
    case ObjectiveKind::debiased: return "debiased";
    case ObjectiveKind::hard: return "hard";
    case ObjectiveKind::unbiased: return "unbiased";
  }
  return "?";
}

/// XXH3-128 of extents, labels and pixels.
std::string fingerprint(const Dataset& dataset) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  for (const PooledImage& image : dataset.images) {
    const int32_t extent[] = {image.h, image.w};
    XXH3_128bits_update(&state, extent, sizeof extent);
  }
  XXH3_128bits_update(&state, dataset.labels.data(), dataset.labels.size() * sizeof(int32_t));
  XXH3_128bits_update(&state, dataset.pixels.data(), static_cast<size_t>(dataset.pixels.size()));
  const XXH128_hash_t hash = XXH3_128bits_digest(&state);
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

}  // namespace

double tau_plus_limit(double temperature) { return 1.0 / (1.0 + std::exp(1.0 / temperature)); }

void check(const PretrainSettings& s) {
  const ObjectiveDesc& o = s.objective;
  require(o.tau_plus >= 0 && o.tau_plus < 1, "tau_plus is " + number_text(o.tau_plus) + ", expected a value in [0, 1)");
  require(positive(o.temperature), "temperature is " + number_text(o.temperature) + ", expected a positive number");
  require(not_negative(o.beta), "beta is " + number_text(o.beta) + ", expected 0 or more");
  require(s.batch >= 2, "batch_size is " + std::to_string(s.batch) + ": a batch needs at least 2 images to have negatives");
  require(s.num_positives >= 1 && s.num_positives <= 64, "num_positives must be 1 to 64");
  require(s.num_positives == 1 || o.kind == ObjectiveKind::debiased || o.kind == ObjectiveKind::hard,
          "num_positives above 1 needs a debiasing term: --objective debiased or hard");
  require(s.epochs >= 1, "epochs must be at least 1");
  require(positive(s.lr), "lr is " + number_text(s.lr) + ", expected a positive number");
  require(not_negative(s.final_lr), "final_lr must be 0 or more");
  require(not_negative(s.warmup_epochs), "warmup_epochs must be 0 or more");
  require(not_negative(s.optimizer.weight_decay), "weight_decay must be 0 or more");
  require(s.optimizer.momentum >= 0 && s.optimizer.momentum < 1, "momentum must be in [0, 1)");
  check(s.augment);
  const double limit = tau_plus_limit(o.temperature);
  if ((o.kind == ObjectiveKind::debiased || o.kind == ObjectiveKind::hard) && o.tau_plus >= limit)
    log(LogLevel::warning, "tau_plus " + number_text(o.tau_plus) + " is not below " + number_text(std::round(limit * 1e6) / 1e6) +
                               ", the limit 1/(1+e^(1/t)) at temperature " + number_text(o.temperature) +
                               ": aligned anchors are clamped and get no gradient from negatives; lower tau_plus or raise the temperature");
}

std::map<std::string, std::string> trajectory_of(const PretrainSettings& s, const Dataset& dataset) {
  const ObjectiveDesc& o = s.objective;
  std::map<std::string, std::string> all{
      {"arch", s.model.arch},
      {"stem", std::string(name_of(s.model.stem))},
      {"feature_dim", std::to_string(s.model.feature_dim)},
      {"image_size", std::to_string(s.augment.size)},
      {"luma", s.augment.luma == LumaRule::pillow7 ? "pillow7" : "pillow6"},
      {"objective", name_of(o.kind)},
      {"temperature", number_text(o.temperature)},
      {"batch_size", std::to_string(s.batch)},
      {"optimizer", name_of(s.optimizer.kind)},
      {"lr", number_text(s.lr)},
      {"weight_decay", number_text(s.optimizer.weight_decay)},
      {"schedule", s.schedule == ScheduleKind::constant ? "constant" : "cosine"},
      {"warmup_epochs", number_text(s.warmup_epochs)},
      {"dtype", std::string(name_of(s.dtype))},
      {"seed", std::to_string(s.seed)},
      {"dataset", dataset.name},
      {"split", dataset.split},
      {"images", std::to_string(dataset.size())},
      {"images_hash", fingerprint(dataset)},
  };
  if (o.kind == ObjectiveKind::debiased || o.kind == ObjectiveKind::hard) {
    all["tau_plus"] = number_text(o.tau_plus);
    all["num_positives"] = std::to_string(s.num_positives);
  }
  if (o.kind == ObjectiveKind::hard) all["beta"] = number_text(o.beta);
  if (o.kind == ObjectiveKind::unbiased) all["negative_scale"] = o.scale == NegativeScale::mean ? "mean" : "sum";
  if (s.optimizer.kind != OptimizerKind::adam) all["momentum"] = number_text(s.optimizer.momentum);
  if (s.schedule == ScheduleKind::cosine) {
    all["epochs"] = std::to_string(s.epochs);
    all["final_lr"] = number_text(s.final_lr);
  }
  return all;
}

void require_same_trajectory(const std::map<std::string, std::string>& saved, const std::map<std::string, std::string>& now,
                             const std::string& where) {
  std::string differences;
  const auto add = [&](const std::string& name, const std::string& before, const std::string& after) {
    differences += (differences.empty() ? "" : ", ") + name + " " + before + " -> " + after;
  };
  for (const auto& [name, value] : saved) {
    const auto found = now.find(name);
    if (found == now.end()) {
      add(name, value, "(unused)");
    } else if (found->second != value) {
      add(name, value, found->second);
    }
  }
  for (const auto& [name, value] : now)
    if (!saved.contains(name)) add(name, "(unused)", value);
  if (!differences.empty())
    fail(ErrorKind::usage, "cannot continue " + where + " with other settings: " + differences +
                               "; use the settings of the checkpoint or another --run_dir");
}

}  // namespace dcl
