// Features as a map: one place in the plane for every image, near those of images with similar features.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/backend.h"
#include "data/dataset.h"
#include "math/point.h"
#include "train/shown_images.h"

namespace dcl {

struct MapSettings {
  enum class Method : uint8_t { tsne, pca };
  Method method = Method::tsne;
  double perplexity = 30;  ///< of t-SNE: how many neighbours count, 2 or more
};

/// Told how much of how much is done.
using MapProgress = std::function<void(int64_t, int64_t)>;

/// Error{usage} when so many points cannot have this map: t-SNE looks at three times the perplexity of neighbours.
void check_map(const MapSettings& settings, int64_t points);

/// The places of points f32 [count, dim], in their order, by Euclidean distance. pca: along the first two principal
/// components, in the features' unit. tsne: starts from those, with the neighbours found on `backend`; its scale and
/// directions mean nothing. Error{usage} as check_map; Error{numerical} when a number is not finite. The same bits for
/// every number of threads, as far as the backend's matrix product has them.
std::vector<Point> map_points(Backend& backend, std::span<const float> points, int64_t dim, const MapSettings& settings,
                              const MapProgress& progress = {});

/// The map of a data set's features (ShownImages of them), and how it is drawn and tabled.
class FeatureMap {
 public:
  /// Error{usage} as check_map. The data set must outlive the map.
  FeatureMap(const Dataset& dataset, int64_t dim, const MapSettings& settings);

  /// Features [count, dim] of the next images of the data set, in its order.
  void append(std::span<const float> rows);
  /// After the features of all images, before what follows.
  void make(Backend& backend, const MapProgress& progress = {});

  int64_t points() const { return shown_.count(); }
  /// Where an image is; null when it is not shown.
  const Point* place(int32_t image) const;
  /// A drawing (io/svg.h) coloured by class, each dot with the name and class of its image.
  std::string svg() const;

 private:
  std::string heading() const;

  const Dataset& dataset_;
  int64_t dim_;
  MapSettings settings_;
  ShownImages shown_;
  std::vector<float> rows_;
  std::vector<Point> places_;  ///< of the shown images
};

}  // namespace dcl
