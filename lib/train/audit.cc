#include "train/audit.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "core/error.h"
#include "core/parallel.h"
#include "core/rows.h"
#include "io/checksum.h"
#include "train/audit_pairs.h"

namespace dcl {
namespace {

constexpr int64_t kTileRows = 512, kTileColumns = 4096;
constexpr int64_t kColumnGrain = 16;  // of a cache line

/// Similarities of images [row, row + rows) of one set and [column, column + columns) of another, or of the same one,
/// of which then only those with a smaller row than column count.
struct Tile {
  int64_t row = 0, column = 0, rows = 0, columns = 0;
  bool triangle = false;
  const float* values = nullptr;

  float at(int64_t i, int64_t j) const { return values[(i - row) * columns + j - column]; }
  int64_t row_end() const { return row + rows; }
  int64_t column_end() const { return column + columns; }
  int64_t first_column(int64_t i) const { return triangle ? std::max(column, i + 1) : column; }
};

/// Calls use(tile) for the tiles of a b^T, those below the diagonal left out where a is b.
template <class Use>
void for_each_tile(Backend& backend, ConstTensorRef a, ConstTensorRef b, bool triangle, const Use& use) {
  const int64_t height = std::min(kTileRows, a.shape[0]), width = std::min(kTileColumns, b.shape[0]);
  const Buffer product(backend, static_cast<size_t>(height * width) * sizeof(float));
  std::vector<float> values(static_cast<size_t>(height * width));
  for (int64_t row = 0; row < a.shape[0]; row += height)
    for (int64_t column = triangle ? row : 0; column < b.shape[0]; column += width) {
      const Tile tile{row,      column,       std::min(height, a.shape[0] - row), std::min(width, b.shape[0] - column),
                      triangle, values.data()};
      GemmDesc gemm{tile.rows, tile.columns, a.shape[1]};
      gemm.trans_b = true;
      const TensorRef view = product.view({tile.rows, tile.columns}, DType::f32);
      backend.gemm(gemm, rows(a, row, tile.rows), rows(b, column, tile.columns), {}, view);
      backend.copy_out(values.data(), view);
      use(tile);
    }
}

/// Classes of the pairs of labelled images.
class ClassPairs {
 public:
  ClassPairs(std::span<const int32_t> labels, int64_t k)
      : labels_(labels),
        labelled_(std::ranges::count_if(labels, [](int32_t label) { return label != kUnknownLabel; })),
        k_(std::min(k, std::max<int64_t>(labelled_ - 1, 1))),
        neighbours_(labelled_ < 2 ? 0 : std::ssize(labels), k_) {}

  void add(const Tile& tile) {
    if (labelled_ < 2) return;
    row_sums_.assign(static_cast<size_t>(tile.rows), {});
    parallel_for(tile.rows, [&](int64_t i) { add_row(tile, tile.row + i); });
    for (const auto& sums : row_sums_)
      for (size_t same = 0; same < 2; ++same) sums_[same] += sums[same];
    // The other ends of the pairs: no two threads have the same image.
    parallel_chunks(tile.columns, kColumnGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = tile.row; i < tile.row_end(); ++i) {
        if (!known(i)) continue;
        for (int64_t j = std::max(tile.first_column(i), tile.column + begin); j < tile.column + end; ++j)
          if (known(j)) neighbours_.offer(j, {tile.at(i, j), static_cast<int32_t>(i)});
      }
    });
  }

  std::optional<ClassAudit> result() const {
    if (labelled_ < 2) return std::nullopt;
    ClassAudit out{.images = labelled_, .k = k_};
    out.same = spread(true), out.different = spread(false);
    if (out.same && out.different) out.auc = counts_.auc();
    const auto same = static_cast<double>(counts_.pairs(true)), different = static_cast<double>(counts_.pairs(false));
    out.same_class_probability = same / (same + different);
    int64_t false_negatives = 0;
    for (int64_t i = 0; i < std::ssize(labels_); ++i)
      for (const auto& neighbour : neighbours_.of(i)) false_negatives += label(i) == label(neighbour.image);
    out.false_negatives = static_cast<double>(false_negatives) / static_cast<double>(labelled_ * k_);
    return out;
  }

 private:
  int32_t label(int64_t i) const { return labels_[static_cast<size_t>(i)]; }
  bool known(int64_t i) const { return label(i) != kUnknownLabel; }

  void add_row(const Tile& tile, int64_t i) {
    if (!known(i)) return;
    auto& sums = row_sums_[static_cast<size_t>(i - tile.row)];
    for (int64_t j = tile.first_column(i); j < tile.column_end(); ++j) {
      if (!known(j)) continue;
      const float similarity = tile.at(i, j);
      const bool same = label(i) == label(j);
      counts_.add(same, similarity);
      sums[same] += double{similarity};
      neighbours_.offer(i, {similarity, static_cast<int32_t>(j)});
    }
  }

  std::optional<SimilaritySpread> spread(bool same) const {
    const int64_t pairs = counts_.pairs(same);
    if (pairs == 0) return std::nullopt;
    return SimilaritySpread{pairs, sums_[same] / static_cast<double>(pairs), counts_.quantiles(same)};
  }

  std::span<const int32_t> labels_;
  int64_t labelled_, k_;
  SimilarityCounts counts_;
  Neighbours neighbours_;
  std::array<double, 2> sums_{};  ///< of similarities; [same class]
  std::vector<std::array<double, 2>> row_sums_;
};

/// Near duplicates among the pairs of two sets, or of one.
class Duplicates {
 public:
  Duplicates(const AuditSet& a, const AuditSet& b, bool between, double threshold, NearestPairs& nearest)
      : a_(a), b_(b), between_(between), threshold_(threshold), nearest_(nearest), near_(b.labels.size()) {
    found_.resize(kTileRows);
    count_identical();
  }

  void add(const Tile& tile) {
    parallel_for(tile.rows, [&](int64_t i) { add_row(tile, tile.row + i); });
    for (int64_t i = 0; i < tile.rows; ++i)
      for (const NearPair& pair : found_[static_cast<size_t>(i)]) {
        ++counts_.pairs;
        near_[static_cast<size_t>(pair.b)] = true;
        if (!between_) near_[static_cast<size_t>(pair.a)] = true;
        nearest_.add(pair);
      }
  }

  DuplicateCounts result() const {
    DuplicateCounts out = counts_;
    out.images = std::ranges::count(near_, true);
    return out;
  }

 private:
  void count_identical() {
    std::unordered_map<int32_t, int64_t> times;
    for (const int32_t content : a_.contents) ++times[content];
    for (const int32_t content : b_.contents) {
      const auto found = times.find(content);
      const int64_t others = found == times.end() ? 0 : found->second - (between_ ? 0 : 1);
      counts_.identical_pairs += others;
      counts_.identical_images += others > 0;
    }
    if (!between_) counts_.identical_pairs /= 2;  // each was seen from both ends
  }

  void add_row(const Tile& tile, int64_t i) {
    auto& found = found_[static_cast<size_t>(i - tile.row)];
    found.clear();
    const int32_t content = a_.contents[static_cast<size_t>(i)];
    for (int64_t j = tile.first_column(i); j < tile.column_end(); ++j) {
      const float similarity = tile.at(i, j);
      const bool identical = content == b_.contents[static_cast<size_t>(j)];
      if (!identical && double{similarity} < threshold_) continue;
      found.push_back({identical ? 1.0f : std::min(similarity, 1.0f), identical, between_, static_cast<int32_t>(i),
                       static_cast<int32_t>(j)});
    }
  }

  const AuditSet &a_, &b_;
  bool between_;
  double threshold_;
  NearestPairs& nearest_;
  DuplicateCounts counts_;
  std::vector<bool> near_;                    ///< images of b
  std::vector<std::vector<NearPair>> found_;  ///< in each row of a tile
};

void check(const AuditSettings& settings) {
  if (settings.k < 1 || settings.k > kMostAuditNeighbours || settings.most < 0 || !(settings.threshold >= -1) ||
      !(settings.threshold <= 1))
    fail(ErrorKind::usage, "audit: k must be in 1.." + std::to_string(kMostAuditNeighbours) +
                               ", the threshold in [-1, 1], and the number of pairs not negative");
}

void check(const AuditSet& set, int64_t dim) {
  const Shape& shape = set.features.shape;
  if (shape.rank() != 2 || shape[0] < 1 || shape[1] != dim || set.features.dtype != DType::f32 ||
      std::ssize(set.labels) != shape[0] || std::ssize(set.contents) != shape[0])
    fail(ErrorKind::internal, "audit: " + std::to_string(set.labels.size()) + " labels and " +
                                  std::to_string(set.contents.size()) + " contents for features " + shape.text() +
                                  ", expected one each and f32 [images, " + std::to_string(dim) + "]");
}

}  // namespace

Audit audit(Backend& backend, const AuditSet& set, const AuditSet* other, const AuditSettings& settings,
            const std::function<void(int64_t done, int64_t all)>& progress) {
  check(settings);
  const int64_t dim = set.features.shape.rank() == 2 ? set.features.shape[1] : 1;
  check(set, dim);
  if (other) check(*other, dim);
  const int64_t images = set.features.shape[0];
  const int64_t all = images * (images - 1) / 2 + (other ? images * other->features.shape[0] : 0);
  int64_t done = 0;
  const auto report = [&](const Tile& tile) {
    for (int64_t i = tile.row; i < tile.row_end(); ++i)
      done += std::max<int64_t>(tile.column_end() - tile.first_column(i), 0);
    if (progress) progress(done, all);
  };

  Audit out;
  NearestPairs nearest(settings.most);
  ClassPairs classes(set.labels, settings.k);
  Duplicates within(set, set, false, settings.threshold, nearest);
  for_each_tile(backend, set.features, set.features, true, [&](const Tile& tile) {
    classes.add(tile);
    within.add(tile);
    report(tile);
  });
  out.classes = classes.result();
  out.within = within.result();
  if (other) {
    Duplicates between(set, *other, true, settings.threshold, nearest);
    for_each_tile(backend, set.features, other->features, false, [&](const Tile& tile) {
      between.add(tile);
      report(tile);
    });
    out.between = between.result();
  }
  out.pairs = nearest.take();
  return out;
}

std::vector<std::vector<int32_t>> content_numbers(std::span<const Dataset* const> sets) {
  std::unordered_map<std::string, int32_t> numbers;
  std::vector<std::vector<int32_t>> out;
  for (const Dataset* const set : sets) {
    std::vector<std::string> sums(static_cast<size_t>(set->size()));
    parallel_for(set->size(), [&](int64_t i) {
      const PooledImage& image = set->images[static_cast<size_t>(i)];
      const int32_t extent[] = {image.h, image.w};
      Checksum sum;
      sum.add(extent, sizeof extent);
      sum.add(set->image(i), static_cast<size_t>(bytes_of(image)));
      sums[static_cast<size_t>(i)] = sum.text();
    });
    std::vector<int32_t>& of_set = out.emplace_back();
    for (const std::string& sum : sums)
      of_set.push_back(numbers.try_emplace(sum, static_cast<int32_t>(numbers.size())).first->second);
  }
  return out;
}

}  // namespace dcl
