#include "train/feature_map.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/buffer.h"
#include "core/number.h"
#include "core/parallel.h"
#include "core/rows.h"
#include "io/svg.h"
#include "map/pca.h"
#include "map/tsne.h"
#include "train/neighbours.h"

namespace dcl {
namespace {

constexpr int64_t kPiece = 16;

/// Sums of this many parts, so that they are added side by side, and always in one order.
constexpr size_t kLanes = 8;
using Lanes = std::array<double, kLanes>;

double total(const Lanes& lanes) {
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

/// |a - b|^2, or |a|^2 without b.
double squared_distance(std::span<const float> a, const float* b) {
  Lanes lanes{};
  size_t d = 0;
  for (; d + kLanes <= a.size(); d += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const double difference = double{a[d + lane]} - (b ? double{b[d + lane]} : 0);
      lanes[lane] += difference * difference;
    }
  for (; d < a.size(); ++d) {
    const double difference = double{a[d]} - (b ? double{b[d]} : 0);
    lanes[0] += difference * difference;
  }
  return total(lanes);
}

/// Points around their mean, at a root mean square distance of 1 from it, so that no product overflows.
struct Centred {
  std::vector<float> rows;
  double scale = 1;  ///< times this they are as far apart as they were
};

Centred centred(std::span<const float> points, int64_t dim) {
  const size_t width = static_cast<size_t>(dim), count = points.size() / width;
  std::vector<double> mean(width);
  for (size_t i = 0; i < count; ++i)
    for (size_t d = 0; d < width; ++d) mean[d] += double{points[i * width + d]} / static_cast<double>(count);
  double squares = 0;
  for (size_t i = 0; i < count; ++i)
    for (size_t d = 0; d < width; ++d) squares += std::pow(double{points[i * width + d]} - mean[d], 2);
  const double scale = std::sqrt(squares / static_cast<double>(count));
  if (!std::isfinite(scale)) fail(ErrorKind::numerical, "map: features are not finite");
  Centred result{std::vector<float>(points.size()), scale > 0 ? scale : 1};
  for (size_t i = 0; i < count; ++i)
    for (size_t d = 0; d < width; ++d)
      result.rows[i * width + d] = static_cast<float>((double{points[i * width + d]} - mean[d]) / result.scale);
  return result;
}

/// The k nearest other points of every point, [count, k]. a.b - |b|^2 / 2 is largest where |a - b| is smallest.
std::vector<int32_t> nearest(Backend& backend, std::span<const float> points, int64_t dim, int64_t k) {
  const int64_t count = static_cast<int64_t>(points.size()) / dim;
  std::vector<float> bias;
  for (int64_t i = 0; i < count; ++i)
    bias.push_back(static_cast<float>(
        -squared_distance(points.subspan(static_cast<size_t>(i * dim), static_cast<size_t>(dim)), nullptr) / 2));
  const Buffer memory(backend, points.size_bytes()), bias_memory(backend, bias.size() * sizeof(float));
  const TensorRef bank = memory.view({count, dim}, DType::f32), biases = bias_memory.view({count}, DType::f32);
  backend.copy_in(bank, points.data());
  backend.copy_in(biases, bias.data());

  NeighbourSearch search(backend, bank, k + 1, biases);  // the point itself is one of them
  std::vector<int32_t> found;
  for (int64_t begin = 0; begin < count; begin += NeighbourSearch::kMaxQueries) {
    const int64_t piece = std::min(NeighbourSearch::kMaxQueries, count - begin);
    search.search(rows(bank, begin, piece));
    for (int64_t query = 0; query < piece; ++query) {
      const auto neighbours = search.bank_rows(query);
      // Where more points than these coincide it may be missing: then the farthest is left out.
      const auto self = std::find(neighbours.begin(), neighbours.end() - 1, static_cast<int32_t>(begin + query));
      found.insert(found.end(), neighbours.begin(), self);
      found.insert(found.end(), self + 1, neighbours.end());
    }
  }
  return found;
}

/// Of every point from its k neighbours, from the differences: of points that coincide they are 0.
std::vector<double> squared_distances(std::span<const float> points, int64_t dim, std::span<const int32_t> neighbours,
                                      int64_t k) {
  const auto width = static_cast<size_t>(dim), each = static_cast<size_t>(k);
  std::vector<double> distances(neighbours.size());
  parallel_chunks(static_cast<int64_t>(neighbours.size()) / k, kPiece, [&](int64_t begin, int64_t end) {
    for (size_t e = static_cast<size_t>(begin) * each; e < static_cast<size_t>(end) * each; ++e)
      distances[e] = squared_distance(points.subspan(e / each * width, width),
                                      points.data() + static_cast<size_t>(neighbours[e]) * width);
  });
  return distances;
}

}  // namespace

void check_map(const MapSettings& settings, int64_t points) {
  if (settings.method != MapSettings::Method::tsne) return;
  if (!(settings.perplexity >= 2)) fail(ErrorKind::usage, "map: the perplexity of t-SNE must be at least 2");
  const int64_t most = (points - 1) / 3;
  if (settings.perplexity <= static_cast<double>(most)) return;
  fail(ErrorKind::usage, "t-SNE of " + std::to_string(points) + " images cannot have the perplexity " +
                             number_text(settings.perplexity) + ", which needs more than three times as many: give " +
                             (most >= 2 ? "--map_perplexity " + std::to_string(most) + " or less, or " : "") +
                             "--map_method pca");
}

std::vector<Point> map_points(Backend& backend, std::span<const float> points, int64_t dim, const MapSettings& settings,
                              const MapProgress& progress) {
  const int64_t count = static_cast<int64_t>(points.size()) / dim;
  check_map(settings, count);
  const Centred features = centred(points, dim);
  std::vector<Point> places = principal_components(features.rows, dim);
  if (settings.method == MapSettings::Method::pca) {
    for (Point& at : places) at = {at.x * features.scale, at.y * features.scale};
    return places;
  }
  const int64_t k = std::min(neighbours_for(settings.perplexity), count - 1);
  const std::vector<int32_t> neighbours = nearest(backend, features.rows, dim, k);
  const std::vector<double> distances = squared_distances(features.rows, dim, neighbours, k);
  const Affinities p = joint_probabilities(neighbours, distances, count, settings.perplexity);
  return tsne(p, std::move(places), {}, progress).points;
}

FeatureMap::FeatureMap(const Dataset& dataset, int64_t dim, const MapSettings& settings)
    : dataset_(dataset), dim_(dim), settings_(settings), shown_(dataset.size()) {
  check_map(settings, shown_.count());
  rows_.reserve(static_cast<size_t>(shown_.count() * dim));
}

void FeatureMap::append(std::span<const float> rows) {
  shown_.take(rows, dim_, [&](std::span<const float> row) { rows_.insert(rows_.end(), row.begin(), row.end()); });
}

void FeatureMap::make(Backend& backend, const MapProgress& progress) {
  if (!shown_.complete()) fail(ErrorKind::internal, "FeatureMap: features of some images are missing");
  places_ = map_points(backend, rows_, dim_, settings_, progress);
}

const Point* FeatureMap::place(int32_t image) const {
  const auto& images = shown_.images();
  const auto at = std::lower_bound(images.begin(), images.end(), image);
  return at != images.end() && *at == image ? &places_[static_cast<size_t>(at - images.begin())] : nullptr;
}

std::string FeatureMap::heading() const {
  const bool tsne = settings_.method == MapSettings::Method::tsne;
  const std::string all = std::to_string(dataset_.size()), shown = std::to_string(points());
  return std::string(tsne ? "t-SNE" : "Principal components") + " of the features of " +
         (shown == all ? "" : shown + " of ") + all + " images" +
         (tsne ? ", perplexity " + number_text(settings_.perplexity) : "");
}

std::string FeatureMap::svg() const {
  ScatterPlot plot{.heading = heading(), .groups = dataset_.classes};
  for (size_t i = 0; i < places_.size(); ++i) {
    const int32_t image = shown_.images()[i], label = dataset_.labels[static_cast<size_t>(image)];
    const std::string &name = dataset_.names[static_cast<size_t>(image)], &of = dataset_.class_name(image);
    plot.dots.push_back({.at = places_[i],
                         .group = label == kUnknownLabel ? ScatterPlot::kNoGroup : label,
                         .title = of.empty() ? name : name + ": " + of});
  }
  return scatter_svg(plot);
}

}  // namespace dcl
