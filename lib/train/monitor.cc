#include "train/monitor.h"

#include <algorithm>

#include "core/error.h"

namespace dcl {
namespace {

/// Normalised features of `images` in backend memory, [images, dim]; nothing when stopped.
std::optional<Buffer> features_of(Backend& backend, FeatureExtractor& extractor, const Dataset& dataset,
                                  std::span<const int32_t> images, int64_t eval_size,
                                  const std::function<bool(int64_t images)>& proceed) {
  const int64_t dim = extractor.dim();
  Buffer all(backend, images.size() * static_cast<size_t>(dim) * sizeof(float));
  std::vector<float> rows;
  size_t offset = 0;
  const bool whole =
      extractor.extract(dataset, images, evaluation_views(eval_size), 0, [&](std::span<const float> features) {
        rows.assign(features.begin(), features.end());
        normalize_rows(rows, dim);
        backend.copy_in(all.view({static_cast<int64_t>(rows.size()) / dim, dim}, DType::f32, offset), rows.data());
        offset += rows.size() * sizeof(float);
        return proceed(std::ssize(rows) / dim);
      });
  return whole ? std::optional<Buffer>(std::move(all)) : std::nullopt;
}

}  // namespace

std::optional<MonitorResult> knn_accuracy(Backend& backend, const ParameterStore& parameters, const Dataset& bank,
                                          const Dataset& query, const MonitorSettings& settings, DType dtype,
                                          const std::function<bool(int64_t done, int64_t all)>& proceed) {
  const std::vector<int32_t> bank_images = labelled_images(bank), query_images = labelled_images(query);
  for (const auto& [set, images] : {std::pair(&bank, &bank_images), std::pair(&query, &query_images)})
    if (images->empty())
      fail(ErrorKind::data, "split '" + set->split + "' of '" + set->name + "' has no labelled image for kNN");
  if (bank.classes != query.classes) fail(ErrorKind::data, "bank and query split have different classes");

  const AugmentDesc bank_pixels = evaluation_pixels(bank, settings.eval_size, settings.pixels);
  const AugmentDesc query_pixels = evaluation_pixels(query, settings.eval_size, settings.pixels);
  const int64_t most = std::max(std::ssize(bank_images), std::ssize(query_images));
  std::optional<FeatureExtractor> extractor(std::in_place, backend, parameters, bank_pixels, most, settings.batch,
                                            dtype);
  const int64_t dim = extractor->dim();
  const int64_t all = std::ssize(bank_images) + std::ssize(query_images);
  int64_t done = 0;
  const auto go_on = [&](int64_t images) {
    done += images;
    return !proceed || proceed(done, all);
  };
  const auto bank_features = features_of(backend, *extractor, bank, bank_images, settings.eval_size, go_on);
  if (!bank_features) return std::nullopt;
  if (!(query_pixels == bank_pixels)) extractor.emplace(backend, parameters, query_pixels, most, settings.batch, dtype);
  const auto query_features = features_of(backend, *extractor, query, query_images, settings.eval_size, go_on);
  if (!query_features) return std::nullopt;

  KnnClassifier knn(
      backend,
      {.k = settings.k, .temperature = settings.temperature, .classes = static_cast<int64_t>(bank.classes.size())},
      bank_features->view({std::ssize(bank_images), dim}, DType::f32), labels_of(bank, bank_images));
  const KnnAccuracy accuracy =
      knn.accuracy(query_features->view({std::ssize(query_images), dim}, DType::f32), labels_of(query, query_images));
  return MonitorResult{accuracy.top1,
                       accuracy.top5,
                       std::ssize(bank_images),
                       std::ssize(query_images),
                       static_cast<int64_t>(bank.classes.size()),
                       std::min(settings.k, std::ssize(bank_images))};
}

}  // namespace dcl
