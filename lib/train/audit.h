// What an encoder's features say about a data set: how often, and how similarly, two images share a class, which is
// what contrastive learning with random negatives suffers from (Chuang et al., 2020, section 3), and which images are
// in it twice.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/backend.h"
#include "data/dataset.h"
#include "train/similarity_counts.h"

namespace dcl {

/// Cosine similarities of the features of pairs of images.
struct SimilaritySpread {
  int64_t pairs = 0;
  double mean = 0;
  std::array<double, kSimilarityQuantiles.size()> quantiles{};  ///< each within kSimilarityBin / 2 and f32 rounding
};

/// Over all pairs of labelled images of the first set.
struct ClassAudit {
  int64_t images = 0;                               ///< with a label
  double same_class_probability = 0;                ///< as Dataset has it
  std::optional<SimilaritySpread> same, different;  ///< where there is such a pair
  std::optional<SimilarityCounts::Auc> auc;         ///< where there are both
  int64_t k = 0;                                    ///< most similar labelled images of each, as many as there are
  double false_negatives = 0;                       ///< share of these that have the image's class
};

/// Pairs of images at least as similar as the threshold, and among them those of identical pixels, whose similarity
/// is 1. images: those that are in such a pair; of pairs between two sets, of the second.
struct DuplicateCounts {
  int64_t pairs = 0, images = 0;
  int64_t identical_pairs = 0, identical_images = 0;
  bool operator==(const DuplicateCounts&) const = default;
};

struct NearPair {
  float similarity = 0;  ///< at most 1
  bool identical = false;
  bool between = false;  ///< b is of the second set; otherwise a < b
  int32_t a = 0, b = 0;
  bool operator==(const NearPair&) const = default;
};

struct AuditSettings {
  int64_t k = 20;            ///< at most kMostAuditNeighbours, since each image's are kept
  double threshold = 0.999;  ///< in [-1, 1]
  int64_t most = 1000;       ///< pairs kept
};
inline constexpr int64_t kMostAuditNeighbours = 1000;

/// features: f32 [images, dim], rows of unit length, in the backend's memory. contents: equal numbers for identical
/// pixels, also of the other set.
struct AuditSet {
  ConstTensorRef features;
  std::span<const int32_t> labels;  ///< or kUnknownLabel
  std::span<const int32_t> contents;
};

struct Audit {
  std::optional<ClassAudit> classes;  ///< where two images have labels
  DuplicateCounts within;
  std::optional<DuplicateCounts> between;  ///< where there is a second set
  /// The most similar first, at equal similarity identical ones, then those within the set, then by a and b.
  std::vector<NearPair> pairs;
};

/// Every pair within `set` once, and every pair of an image of it with one of `other`, where that is not null. Memory
/// is that of a tile of similarities, of k neighbours an image, and of `most` pairs. The same for every number of
/// threads where the backend's gemm is. Error{usage} for settings out of range. `progress`, where given, is called with
/// how many pairs of all are done.
Audit audit(Backend& backend, const AuditSet& set, const AuditSet* other, const AuditSettings& settings,
            const std::function<void(int64_t done, int64_t all)>& progress = {});

/// A number for each image of each data set, equal where extent and pixels are (by XXH3-128).
std::vector<std::vector<int32_t>> content_numbers(std::span<const Dataset* const> sets);

}  // namespace dcl
