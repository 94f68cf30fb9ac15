#include "train/monitor.h"

#include <algorithm>

#include "core/error.h"

namespace dcl {

std::optional<MonitorResult> knn_accuracy(Backend& backend, const ParameterStore& parameters, const Dataset& bank,
                                          const Dataset& query, const MonitorSettings& settings, DType dtype,
                                          const std::function<bool(int64_t done, int64_t all)>& proceed) {
  const std::vector<int32_t> bank_images = labelled_images(bank), query_images = labelled_images(query);
  for (const auto& [set, images] : {std::pair(&bank, &bank_images), std::pair(&query, &query_images)})
    if (images->empty())
      fail(ErrorKind::data, "split '" + set->split + "' of '" + set->name + "' has no labelled image for kNN");
  if (bank.classes != query.classes) fail(ErrorKind::data, "bank and query split have different classes");

  const FeatureImages sets[] = {{bank, bank_images}, {query, query_images}};
  const auto features = unit_features(
      backend, parameters, sets,
      {.eval_size = settings.eval_size, .batch = settings.batch, .pixels = settings.pixels, .dtype = dtype}, proceed);
  if (!features) return std::nullopt;
  const auto view = [&](size_t set, std::span<const int32_t> images) {
    return features->sets[set].view({std::ssize(images), features->dim}, DType::f32);
  };

  KnnClassifier knn(
      backend,
      {.k = settings.k, .temperature = settings.temperature, .classes = static_cast<int64_t>(bank.classes.size())},
      view(0, bank_images), labels_of(bank, bank_images));
  const KnnAccuracy accuracy = knn.accuracy(view(1, query_images), labels_of(query, query_images));
  return MonitorResult{accuracy.top1, accuracy.top5, std::ssize(bank_images), std::ssize(query_images),
                       std::min(settings.k, std::ssize(bank_images))};
}

}  // namespace dcl
