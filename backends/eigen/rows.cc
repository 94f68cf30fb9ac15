#include "eigen/kernels/rows.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/extent.h"
#include "core/parallel.h"
#include "eigen/eigen_backend.h"
#include "eigen/kernels/isa.h"
#include "eigen/reduce.h"

DCL_DISPATCH(RowTable, rows)

namespace dcl {
namespace {

constexpr float kSmallestNorm = 1e-12f;      // eps of F.normalize
constexpr int64_t kGrainElements = 1 << 15;  // of one piece of a row-wise op
constexpr int64_t kSquareGrain = 1 << 16;
constexpr int64_t kColumnPieces = 64;  // at most; each has a row of sums of its own
constexpr int64_t kColumnRows = 256;   // of one piece at least

int64_t row_grain(int64_t columns) { return std::max<int64_t>(1, kGrainElements / columns); }

/// A score and where it stood. Larger first, NaN below everything, equal ones by position.
struct Candidate {
  float score;
  int32_t index;
};
bool better(const Candidate& a, const Candidate& b) {
  if (a.score > b.score) return true;
  if (a.score < b.score) return false;
  const bool a_nan = std::isnan(a.score), b_nan = std::isnan(b.score);
  if (a_nan != b_nan) return b_nan;
  return a.index < b.index;
}

/// Keeps the k best of a growing list; the scan only looks at runs that hold something above the worst of them.
class TopList {
 public:
  TopList(int64_t k, Candidate* storage) : k_(k), list_(storage) {}
  static int64_t storage(int64_t k) { return 4 * k + kernels::kScanRun; }

  void add(const float* scores, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      if (!full_ || !(scores[i] <= worst_)) list_[size_++] = {scores[i], static_cast<int32_t>(i)};
    if (size_ + kernels::kScanRun > storage(k_)) keep_best();
  }
  bool may_hold_better(const float* run) const { return !full_ || kernels::rows().any_above(run, worst_); }
  const Candidate* sorted() {
    keep_best();
    std::sort(list_, list_ + k_, better);
    return list_;
  }

 private:
  void keep_best() {
    std::nth_element(list_, list_ + k_ - 1, list_ + size_, better);
    size_ = k_;
    worst_ = list_[k_ - 1].score;
    full_ = true;
  }

  int64_t k_, size_ = 0;
  Candidate* list_;
  float worst_ = 0;
  bool full_ = false;
};

void top_k_row(const float* scores, int64_t n, int64_t k, float* values, int32_t* indices) {
  TopList list(k, thread_scratch<Candidate>(ScratchSlot::rows, TopList::storage(k)));
  int64_t at = 0;
  for (; at + kernels::kScanRun <= n; at += kernels::kScanRun)
    if (list.may_hold_better(scores + at)) list.add(scores, at, at + kernels::kScanRun);
  list.add(scores, at, n);
  const Candidate* best = list.sorted();
  for (int64_t i = 0; i < k; ++i) {
    values[i] = best[i].score;
    indices[i] = best[i].index;
  }
}

}  // namespace

double square_sum(const float* values, int64_t count) {
  return sum_pieces(count, kSquareGrain, [&](int64_t begin, int64_t end) {
    return kernels::rows().dot(values + begin, values + begin, end - begin);
  });
}

void EigenBackend::do_l2_normalize_forward(ConstTensorRef x, TensorRef y, TensorRef norms) {
  const int64_t dim = x.shape[1];
  parallel_chunks(x.shape[0], row_grain(dim), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* from = x.as<float>() + i * dim;
      const float norm = static_cast<float>(std::sqrt(kernels::rows().dot(from, from, dim)));
      const float divisor = norm < kSmallestNorm ? kSmallestNorm : norm;  // NaN stays
      norms.as<float>()[i] = divisor;
      kernels::rows().divide(from, divisor, dim, y.as<float>() + i * dim);
    }
  });
}

void EigenBackend::do_l2_normalize_backward(ConstTensorRef dy, ConstTensorRef y, ConstTensorRef norms, TensorRef dx) {
  const int64_t dim = y.shape[1];
  parallel_chunks(y.shape[0], row_grain(dim), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float *gradient = dy.as<float>() + i * dim, *unit = y.as<float>() + i * dim;
      const float norm = norms.as<float>()[i];
      // A row below the smallest norm was divided by a constant.
      const bool constant = norm == kSmallestNorm;
      const float projection = constant ? 0.0f : static_cast<float>(kernels::rows().dot(gradient, unit, dim));
      kernels::rows().project(gradient, unit, projection, norm, dim, dx.as<float>() + i * dim);
    }
  });
}

void EigenBackend::do_cross_entropy(const CrossEntropyDesc& d, ConstTensorRef logits, ConstTensorRef labels,
                                    TensorRef loss, TensorRef dlogits) {
  parallel_chunks(d.rows, row_grain(d.classes), [&](int64_t begin, int64_t end) {
    float* scratch = thread_scratch<float>(ScratchSlot::rows, d.classes);
    for (int64_t i = begin; i < end; ++i) {
      const float* x = logits.as<float>() + i * d.classes;
      const int32_t label = labels.as<int32_t>()[i];
      if (label < 0 || label >= d.classes)
        fail(ErrorKind::internal, "[cross_entropy] label " + std::to_string(label) + " of row " + std::to_string(i) +
                                      ", expected 0.." + std::to_string(d.classes - 1));
      float* numerators = dlogits ? dlogits.as<float>() + i * d.classes : scratch;
      float largest = 0;
      const double sum = kernels::rows().softmax_numerators(x, d.classes, numerators, &largest);
      const double below = static_cast<double>(x[label]) - static_cast<double>(largest);
      loss.as<float>()[i] = static_cast<float>(std::log(sum) - below);
      if (!dlogits) continue;
      const double rows = static_cast<double>(d.rows), scale = 1 / (sum * rows);
      const double others = sum - static_cast<double>(numerators[label]);  // softmax - 1 without its cancellation
      for (int64_t j = 0; j < d.classes; ++j)
        numerators[j] = static_cast<float>((j == label ? -others : static_cast<double>(numerators[j])) * scale);
    }
  });
}

void EigenBackend::do_top_k(ConstTensorRef scores, TensorRef values, TensorRef indices) {
  const int64_t n = scores.shape[1], k = values.shape[1];
  parallel_for(scores.shape[0], [&](int64_t row) {
    top_k_row(scores.as<float>() + row * n, n, k, values.as<float>() + row * k, indices.as<int32_t>() + row * k);
  });
}

void EigenBackend::do_column_sum(ConstTensorRef x, TensorRef sums, Accum accum) {
  const int64_t count = x.shape[0], columns = x.shape[1];
  const int64_t grain = std::max(kColumnRows, ceil_div(count, kColumnPieces));
  const int64_t pieces = ceil_div(count, grain);
  double* partial = thread_scratch<double>(ScratchSlot::reduce, pieces * columns);
  parallel_chunks(count, grain, [&](int64_t begin, int64_t end) {
    double* own = partial + begin / grain * columns;
    std::fill_n(own, columns, 0.0);
    kernels::rows().add_columns(x.as<float>() + begin * columns, end - begin, columns, own);
  });
  float* out = sums.as<float>();
  for (int64_t j = 0; j < columns; ++j) {
    double sum = accum == Accum::add ? static_cast<double>(out[j]) : 0;
    for (int64_t piece = 0; piece < pieces; ++piece) sum += partial[piece * columns + j];
    out[j] = static_cast<float>(sum);
  }
}

void EigenBackend::do_sum_of_squares(ConstTensorRef x, TensorRef result) {
  *result.as<double>() = square_sum(x.as<float>(), x.shape.elements());
}

}  // namespace dcl
