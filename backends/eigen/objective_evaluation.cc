#include "eigen/objective_evaluation.h"

#include <cmath>

#include "core/objective_form.h"
#include "core/parallel.h"
#include "eigen/dot.h"
#include "eigen/kernels/gemm.h"
#include "eigen/kernels/isa.h"
#include "eigen/kernels/table.h"
#include "eigen/scratch.h"

DCL_DISPATCH(ContrastiveTable, contrastive)

namespace dcl {
namespace {

constexpr int64_t kRowGrain = 256;  // rows of one piece of the O(n) passes

/// Tile and packed tile fit the second-level cache; small batches get enough blocks for all cores.
template <class T>
int64_t block_rows(int64_t anchors) {
  const int64_t rows = anchors >= 3072 ? 192 : anchors >= 1024 ? 96 : 64;
  return std::min<int64_t>(rows, sizeof(T) == 8 ? 96 : 192);
}

/// Visits every pair (first <= second) of blocks once, in rounds in which each block takes part at most once, as in a
/// tournament (circle method; an odd number gets a bye): no two tasks of a round touch the same rows, so sums need
/// neither atomics nor copies, and their order does not depend on the number of threads.
template <class Body>
void for_each_tile(int64_t blocks, Body&& body) {
  parallel_for(blocks, [&](int64_t block) { body(block, block); });
  const int64_t rounds = blocks + (blocks & 1) - 1;
  for (int64_t round = 0; round < rounds; ++round)
    parallel_for((rounds + 1) / 2, [&](int64_t table) {
      const int64_t one = table == 0 ? rounds : (round + table) % rounds;
      const int64_t other = (round + rounds - table) % rounds;
      if (std::max(one, other) < blocks) body(std::min(one, other), std::max(one, other));
    });
}

/// Calls body(first, depth) for the slices of the embedding's dimension that one product sums.
template <class Body>
void for_each_slice(int64_t dim, Body&& body) {
  for (int64_t at = 0; at < dim; at += kernels::kGemmDepth) body(at, std::min(kernels::kGemmDepth, dim - at));
}

}  // namespace

template <class T>
ObjectiveEvaluation<T>::ObjectiveEvaluation(const ObjectiveDesc& d, Carver& memory)
    : d_(d),
      settings_(contrastive_settings(d)),
      anchors_(2 * d.batch),
      block_(block_rows<T>(anchors_)),
      blocks_(ceil_div(anchors_, block_)),
      classes_(d.batch, memory) {
  const auto& gemm = kernels::of_type<T>(kernels::gemm());
  a_block_ = gemm.packed_a(block_, d.dim);
  bt_block_ = gemm.packed_b(d.dim, block_);
  b_block_ = gemm.packed_b(block_, d.dim);
  packed_a_ = memory.take<T>(blocks_ * a_block_);
  packed_bt_ = memory.take<T>(blocks_ * bt_block_);
  packed_b_ = memory.take<T>(blocks_ * b_block_);
  const int64_t padded = anchors_ + kernels::kTilePadding;
  negative_ = memory.take<T>(padded);
  importance_ = memory.take<T>(padded);
  class_ = memory.take<T>(padded);
  sums_ = memory.take<ContrastiveSums<double>>(anchors_);
  rows_ = memory.take<ContrastiveRow<double>>(anchors_);
  weighted_ = memory.take<double>(anchors_);
  importance_sum_ = memory.take<double>(anchors_);
  cosine_ = memory.take<double>(anchors_);
  exponential_ = memory.take<double>((d.views - 2) * anchors_);
  block_cosines_ = memory.take<double>(blocks_);
}

template <class T>
void ObjectiveEvaluation<T>::run(const T* z, const int32_t* labels, double* result, T* dz) {
  z_ = z;
  pack();
  std::fill_n(weighted_, anchors_, 0.0);
  std::fill_n(importance_sum_, anchors_, 0.0);
  std::fill_n(block_cosines_, blocks_, 0.0);
  std::fill_n(sums_, anchors_, ContrastiveSums<double>{});
  if (d_.kind == ObjectiveKind::unbiased) find_classes(labels);
  find_positives();
  for_each_tile(blocks_, [&](int64_t i, int64_t j) { forward(i, j); });
  finish_rows();
  report(result);
  if (!dz) return;
  for_each_tile(blocks_, [&](int64_t i, int64_t j) { backward(i, j, dz); });
  add_positive_gradients(dz);
}

template <class T>
void ObjectiveEvaluation<T>::pack() {
  const auto& gemm = kernels::of_type<T>(kernels::gemm());
  parallel_for(blocks_, [&](int64_t block) {
    const T* z = row(begin(block));
    const int64_t count = rows_of(block);
    for_each_slice(d_.dim, [&](int64_t at, int64_t depth) {
      gemm.pack_a(z + at, d_.dim, 1, count, depth, packed_a_ + block * a_block_ + gemm.packed_a(count, at));
      gemm.pack_b(z + at, 1, d_.dim, depth, count, packed_bt_ + block * bt_block_ + gemm.packed_b(at, count));
    });
    gemm.pack_b(z, d_.dim, 1, count, d_.dim, packed_b_ + block * b_block_);
  });
}

/// Images without a label are never masked: they are classes of their own.
template <class T>
void ObjectiveEvaluation<T>::find_classes(const int32_t* labels) {
  classes_.find(labels);
  std::fill_n(class_ + anchors_, kernels::kTilePadding, T{0});
  for (int64_t image = 0; image < d_.batch; ++image) {
    const int64_t of_class = classes_.of(image);
    for (const int64_t anchor : {image, image + d_.batch}) {
      class_[anchor] = static_cast<T>(of_class);
      sums_[anchor].count = static_cast<double>(anchors_ - 2 * classes_.size(of_class));
    }
  }
}

template <class T>
void ObjectiveEvaluation<T>::find_positives() {
  const double scale = settings_.inverse_temperature;
  parallel_chunks(d_.batch, kRowGrain, [&](int64_t first, int64_t last) {
    for (int64_t image = first; image < last; ++image) {
      const int64_t anchor[2] = {image, image + d_.batch};
      const double cosine = dot(row(anchor[0]), row(anchor[1]), d_.dim);
      for (const int64_t a : anchor) {
        cosine_[a] = cosine;
        sums_[a].pair = sums_[a].positives = std::exp(cosine * scale);
        for (int64_t view = 2; view < d_.views; ++view) {
          const double e = std::exp(dot(row(a), view_row(view, image), d_.dim) * scale);
          exponential_[(view - 2) * anchors_ + a] = e;
          sums_[a].positives += e;
        }
      }
    }
  });
}

/// Cosines of the blocks i and j in this thread's scratch, followed by room for a packed tile.
template <class T>
kernels::SimilarityTile<T> ObjectiveEvaluation<T>::similarities(int64_t i, int64_t j) const {
  const auto& gemm = kernels::of_type<T>(kernels::gemm());
  kernels::SimilarityTile<T> tile{};
  tile.ld = round_up(block_, kernels::kTilePadding);
  tile.rows = rows_of(i), tile.columns = rows_of(j);
  tile.s = thread_scratch<T>(ScratchSlot::objective, block_ * tile.ld + gemm.packed_a(block_, block_) + 4 * tile.ld);
  for_each_slice(d_.dim, [&](int64_t at, int64_t depth) {
    gemm.multiply(tile.rows, tile.columns, depth, packed_a_ + i * a_block_ + gemm.packed_a(tile.rows, at),
                  packed_bt_ + j * bt_block_ + gemm.packed_b(at, tile.columns), tile.s, tile.ld, at > 0);
  });
  tile.inverse_temperature = settings_.inverse_temperature, tile.beta = settings_.beta;
  const int64_t self = begin(i) - begin(j);
  tile.excluded[0] = self, tile.excluded[1] = self + d_.batch, tile.excluded[2] = self - d_.batch;
  if (d_.kind == ObjectiveKind::unbiased) tile.row_class = class_ + begin(i), tile.column_class = class_ + begin(j);
  return tile;
}

template <class T>
void ObjectiveEvaluation<T>::forward(int64_t i, int64_t j) {
  const auto tile = similarities(i, j);
  const kernels::TileSums rows{weighted_ + begin(i), importance_sum_ + begin(i)};
  const kernels::TileSums columns{weighted_ + begin(j), importance_sum_ + begin(j)};
  const bool diagonal = i == j;
  const double cosines = kernels::of_type<T>(kernels::contrastive())
                             .forward(tile, rows, diagonal ? kernels::TileSums{} : columns, beside(tile));
  block_cosines_[i] += cosines;
  if (!diagonal) block_cosines_[j] += cosines;
}

template <class T>
void ObjectiveEvaluation<T>::finish_rows() {
  parallel_chunks(anchors_, kRowGrain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      sums_[i].weighted = weighted_[i];
      sums_[i].importance = importance_sum_[i];
      rows_[i] = contrastive_row(settings_, sums_[i]);
      negative_[i] = static_cast<T>(rows_[i].negative);
      importance_[i] = static_cast<T>(rows_[i].importance);
    }
  });
  std::fill_n(negative_ + anchors_, kernels::kTilePadding, T{0});
  std::fill_n(importance_ + anchors_, kernels::kTilePadding, T{0});
}

template <class T>
void ObjectiveEvaluation<T>::report(double* result) const {
  double loss = 0, at_floor = 0, positive = 0, negative = 0, negatives = 0;
  for (int64_t i = 0; i < anchors_; ++i) {
    loss += rows_[i].loss;
    at_floor += rows_[i].at_floor;
    positive += cosine_[i];
    negatives += d_.kind == ObjectiveKind::unbiased ? sums_[i].count : settings_.negatives;
  }
  for (int64_t block = 0; block < blocks_; ++block) negative += block_cosines_[block];
  result[kLoss] = loss * settings_.anchor_weight;
  result[kClampFraction] = at_floor * settings_.anchor_weight;
  result[kMeanPositive] = positive * settings_.anchor_weight;
  result[kMeanNegative] = negatives > 0 ? negative / negatives : 0;
}

template <class T>
void ObjectiveEvaluation<T>::backward(int64_t i, int64_t j, T* dz) const {
  const auto& gemm = kernels::of_type<T>(kernels::gemm());
  const auto tile = similarities(i, j);
  kernels::of_type<T>(kernels::contrastive())
      .backward(tile, {negative_ + begin(i), importance_ + begin(i)}, {negative_ + begin(j), importance_ + begin(j)});
  T* packed = beside(tile);
  // Diagonal tiles come first and set dz; the others add to both of their blocks.
  gemm.pack_a(tile.s, tile.ld, 1, tile.rows, tile.columns, packed);
  gemm.multiply(tile.rows, d_.dim, tile.columns, packed, packed_b_ + j * b_block_, dz + begin(i) * d_.dim, d_.dim,
                i != j);
  if (i == j) return;
  gemm.pack_a(tile.s, 1, tile.ld, tile.columns, tile.rows, packed);
  gemm.multiply(tile.columns, d_.dim, tile.rows, packed, packed_b_ + i * b_block_, dz + begin(j) * d_.dim, d_.dim,
                true);
}

/// What flows through the pairs and the extra positives; sets dz of the extra views.
template <class T>
void ObjectiveEvaluation<T>::add_positive_gradients(T* dz) const {
  const auto value = [](T v) { return static_cast<double>(v); };
  parallel_chunks(d_.batch, kRowGrain, [&](int64_t first, int64_t last) {
    for (int64_t image = first; image < last; ++image) {
      const int64_t one = image, other = image + d_.batch;
      const T *z_one = row(one), *z_other = row(other);
      const double pair = rows_[one].pair + rows_[other].pair;
      for (int64_t k = 0; k < d_.dim; ++k) {
        double to_one = pair * value(z_other[k]), to_other = pair * value(z_one[k]);
        for (int64_t view = 2; view < d_.views; ++view) {
          const double by_one = rows_[one].positive * exponential_[(view - 2) * anchors_ + one];
          const double by_other = rows_[other].positive * exponential_[(view - 2) * anchors_ + other];
          const double v = value(view_row(view, image)[k]);
          to_one += by_one * v;
          to_other += by_other * v;
          dz[(view * d_.batch + image) * d_.dim + k] =
              static_cast<T>(by_one * value(z_one[k]) + by_other * value(z_other[k]));
        }
        T &dz_one = dz[one * d_.dim + k], &dz_other = dz[other * d_.dim + k];
        dz_one = static_cast<T>(value(dz_one) + to_one);
        dz_other = static_cast<T>(value(dz_other) + to_other);
      }
    }
  });
}

template class ObjectiveEvaluation<float>;
template class ObjectiveEvaluation<double>;

}  // namespace dcl
