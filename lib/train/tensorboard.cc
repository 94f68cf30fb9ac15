#include "train/tensorboard.h"

#include <map>
#include <string>

#include "train/state_names.h"

namespace dcl {
namespace {

/// "stem", "layer1" ... "layer4" or "head", from a published name.
std::string group_of(std::string_view name, Stem stem) {
  if (name.starts_with("g.")) return "head";
  const std::string module = TrunkNames{.prefix = "", .torchvision = true}.of(name, stem);
  return module.starts_with("layer") ? module.substr(0, module.find('.')) : "stem";
}

}  // namespace

EventFile& TensorBoardLog::events() {
  if (!events_) events_.emplace(folder_, first_step_);
  return *events_;
}

void TensorBoardLog::step(const StepRecord& r) {
  const EventFile::Scalar scalars[] = {
      {"train/loss", r.loss},
      {"train/clamp_fraction", r.clamp_fraction},
      {"train/mean_positive", r.mean_positive},
      {"train/mean_negative", r.mean_negative},
      {"train/lr", r.lr},
      {"train/images_per_second", r.images_per_second},
      {"train/wait_fraction", r.wait_fraction},
  };
  events().scalars(r.step, scalars);
}

void TensorBoardLog::monitor(const MonitorRecord& r) {
  const EventFile::Scalar scalars[] = {{"knn/top1", r.top1}, {"knn/top5", r.top5}};
  events().scalars(r.step, scalars);
}

void TensorBoardLog::weights(int64_t step, const ParameterStore& parameters) {
  std::map<std::string, Histogram> groups;
  for (const ParameterEntry& entry : parameters.entries())
    if (entry.kind == ParameterKind::conv_weight || entry.kind == ParameterKind::linear_weight)
      groups[group_of(entry.name, parameters.config().stem)].add(parameters.export_tensor(entry));
  for (const auto& [group, histogram] : groups) events().histogram(step, "weights/" + group, histogram);
}

void TensorBoardLog::configuration(std::string_view text) {
  events().text(0, "configuration", "```\n" + std::string(text) + "\n```");
}

void TensorBoardLog::views(const TiledImage& views) {
  events().image(0, "train/views", views.rgb, views.height, views.width);
}

}  // namespace dcl
