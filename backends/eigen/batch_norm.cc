// Batch norm: cuts each group into pieces of rows whose number depends on the shape only, combines their f32 sums in
// double in the order of the pieces. A second pass over the same rows starts where the first ended, so that what is
// still in the cache is read first.
#include "eigen/kernels/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "core/extent.h"
#include "core/parallel.h"
#include "core/with_type.h"
#include "eigen/eigen_backend.h"
#include "eigen/kernels/isa.h"
#include "eigen/kernels/table.h"
#include "eigen/scratch.h"

DCL_DISPATCH(BatchNormTable, batch_norm)

namespace dcl {
namespace {

using kernels::BatchNormAffine;
using kernels::BatchNormGradient;
using kernels::BatchNormMask;

constexpr int64_t kPieceElements = 1 << 16;
constexpr int64_t kMaxPieceRows = 1024;  // bounds the length of an f32 sum
constexpr int64_t kChannelBlock = 256;
constexpr size_t kStreamBytes = 8 << 20;  // results larger than this do not stay in the caches until they are read

/// The rows of one group cut into pieces.
struct Cut {
  int64_t rows, channels, piece_rows, pieces;

  explicit Cut(const BatchNormDesc& d)
      : rows(d.rows / d.groups),
        channels(d.channels),
        piece_rows(std::clamp<int64_t>(kPieceElements / channels, 8, kMaxPieceRows)),
        pieces(ceil_div(rows, piece_rows)) {}

  int64_t first_row(int64_t piece) const { return piece * piece_rows; }
  int64_t row_count(int64_t piece) const { return std::min(piece_rows, rows - first_row(piece)); }
  int64_t partial_floats() const { return pieces * 2 * channels; }
};

float* scratch(int64_t count) { return thread_scratch<float>(ScratchSlot::batch_norm, count); }

/// Calls finish(channel, sum 0, sum 1) for every channel with the pieces' sums added in double, in order.
template <class Finish>
void combine(const Cut& cut, const float* partial, Finish&& finish) {
  parallel_chunks(cut.channels, kChannelBlock, [&](int64_t begin, int64_t end) {
    double sums[2][kChannelBlock] = {};
    for (int64_t piece = 0; piece < cut.pieces; ++piece)
      for (int which = 0; which < 2; ++which) {
        const float* from = partial + (piece * 2 + which) * cut.channels + begin;
        for (int64_t c = 0; c < end - begin; ++c) sums[which][c] += from[c];
      }
    for (int64_t c = begin; c < end; ++c) finish(c, sums[0][c - begin], sums[1][c - begin]);
  });
}

/// Whether to store `to` past the caches: a large result, no operand of the same pass, made of whole cache lines.
bool worth_streaming(const BatchNormDesc& d, const void* to, const void* a, const void* b) {
  const size_t row_bytes = static_cast<size_t>(d.channels) * size_of(d.dtype);
  return row_bytes * static_cast<size_t>(d.rows) >= kStreamBytes && row_bytes % 64 == 0 && to != a && to != b &&
         reinterpret_cast<uintptr_t>(to) % 64 == 0;
}

float* row_of(const TensorRef& saved, const BatchNormDesc& d, int which, int64_t group) {
  return saved.as<float>() + (which * d.groups + group) * d.channels;
}
const float* row_of(const ConstTensorRef& saved, const BatchNormDesc& d, int which, int64_t group) {
  return saved.as<float>() + (which * d.groups + group) * d.channels;
}

template <class T>
void statistics(const BatchNormDesc& d, const T* x, const TensorRef& saved, float* running_mean, float* running_var) {
  const Cut cut(d);
  float* shift = scratch(cut.partial_floats() + d.channels);
  float* partial = shift + d.channels;
  const auto& kernel = kernels::of_type<T>(kernels::batch_norm());
  const double count = static_cast<double>(cut.rows);
  const double unbiased = count / (count - 1);
  for (int64_t group = 0; group < d.groups; ++group) {
    const T* rows = x + group * cut.rows * d.channels;
    for (int64_t c = 0; c < d.channels; ++c) shift[c] = static_cast<float>(rows[c]);
    parallel_for(cut.pieces, [&](int64_t piece) {
      kernel.statistics(rows + cut.first_row(piece) * d.channels, cut.row_count(piece), d.channels, shift,
                        partial + piece * 2 * d.channels);
    });
    float* mean = row_of(saved, d, 0, group);
    float* inv_std = row_of(saved, d, 1, group);
    combine(cut, partial, [&](int64_t c, double sum, double square_sum) {
      const double centre = sum / count;
      const double exact_mean = shift[c] + centre;
      const double spread = square_sum / count - centre * centre;
      const double var = spread < 0 ? 0.0 : spread;  // rounding only; NaN stays NaN
      mean[c] = static_cast<float>(exact_mean);
      inv_std[c] = static_cast<float>(1.0 / std::sqrt(var + d.eps));
      if (!running_mean || group % d.running_every != 0) return;
      running_mean[c] = static_cast<float>((1 - d.momentum) * running_mean[c] + d.momentum * exact_mean);
      running_var[c] = static_cast<float>((1 - d.momentum) * running_var[c] + d.momentum * unbiased * var);
    });
  }
}

/// scale = gamma * inv_std of one group, into `scale`.
BatchNormAffine affine_of(const BatchNormDesc& d, const ConstTensorRef& saved, const float* gamma, const float* beta,
                          int64_t group, float* scale) {
  const float* inv_std = row_of(saved, d, 1, group);
  for (int64_t c = 0; c < d.channels; ++c) scale[c] = gamma[c] * inv_std[c];
  return {row_of(saved, d, 0, group), scale, beta};
}

template <class T>
void apply(const BatchNormDesc& d, const T* x, const ConstTensorRef& saved, const float* gamma, const float* beta,
           const T* residual, T* y) {
  const Cut cut(d);
  float* scale = scratch(d.channels);
  const auto& kernel = kernels::of_type<T>(kernels::batch_norm());
  const bool stream = worth_streaming(d, y, x, residual);
  for (int64_t group = d.groups - 1; group >= 0; --group) {
    const BatchNormAffine affine = affine_of(d, saved, gamma, beta, group, scale);
    parallel_for(cut.pieces, [&](int64_t i) {
      const int64_t piece = cut.pieces - 1 - i;
      const int64_t at = (group * cut.rows + cut.first_row(piece)) * d.channels;
      kernel.apply(x + at, residual ? residual + at : nullptr, y + at, cut.row_count(piece), d.channels, affine, d.relu,
                   stream);
    });
  }
}

/// Operands of batch_norm_backward with their storage type known; masked is dresidual.
template <class T>
struct Backward {
  const T *dy, *x, *y;
  T *dx, *masked;
};

template <class T>
void backward(const BatchNormDesc& d, const Backward<T>& b, const ConstTensorRef& saved, const float* gamma,
              const float* beta, float* dgamma, float* dbeta, Accum accum) {
  const Cut cut(d);
  const int64_t channels = d.channels;
  float* scale = scratch(cut.partial_floats() + 4 * channels);
  float *g_factor = scale + channels, *x_factor = g_factor + channels, *offset = x_factor + channels;
  float* partial = offset + channels;
  const auto& kernel = kernels::of_type<T>(kernels::batch_norm());
  const double count = static_cast<double>(cut.rows);
  const BatchNormMask mask = !d.relu      ? BatchNormMask::none
                             : d.residual ? BatchNormMask::from_y
                                          : BatchNormMask::recomputed;
  const T* g = b.masked ? b.masked : b.dy;
  const bool stream = worth_streaming(d, b.dx, g, b.x);
  for (int64_t group = 0; group < d.groups; ++group) {
    const BatchNormAffine affine = affine_of(d, saved, gamma, beta, group, scale);
    const auto at = [&](int64_t piece) { return (group * cut.rows + cut.first_row(piece)) * channels; };
    parallel_for(cut.pieces, [&](int64_t piece) {
      const int64_t i = at(piece);
      kernel.backward_sums(b.dy + i, b.x + i, mask == BatchNormMask::from_y ? b.y + i : nullptr,
                           b.masked ? b.masked + i : nullptr, cut.row_count(piece), channels, affine, mask,
                           partial + piece * 2 * channels);
    });
    const float* inv_std = row_of(saved, d, 1, group);
    const bool add = accum == Accum::add || group > 0;
    combine(cut, partial, [&](int64_t c, double sum, double product_sum) {
      const double r = inv_std[c];
      dbeta[c] = static_cast<float>((add ? dbeta[c] : 0.0) + sum);
      dgamma[c] = static_cast<float>((add ? dgamma[c] : 0.0) + product_sum * r);
      const double factor = gamma[c] * r;
      g_factor[c] = static_cast<float>(factor);
      x_factor[c] = static_cast<float>(-factor * r * r * product_sum / count);
      offset[c] = static_cast<float>(-factor * sum / count);
    });
    const BatchNormGradient gradient{g_factor, x_factor, offset};
    parallel_for(cut.pieces, [&](int64_t i) {
      const int64_t piece = cut.pieces - 1 - i, from = at(piece);
      kernel.backward_data(g + from, b.x + from, b.dx + from, cut.row_count(piece), channels, affine, gradient,
                           mask == BatchNormMask::recomputed, stream);
    });
  }
}

template <class T>
const T* optional(const ConstTensorRef& tensor) {
  return tensor ? tensor.as<T>() : nullptr;
}
template <class T>
T* optional(const TensorRef& tensor) {
  return tensor ? tensor.as<T>() : nullptr;
}

}  // namespace

void EigenBackend::do_batch_norm_statistics(const BatchNormDesc& d, ConstTensorRef x, TensorRef saved,
                                            TensorRef running_mean, TensorRef running_var) {
  with_type(d.dtype, [&](auto type) {
    statistics(d, x.as<decltype(type)>(), saved, optional<float>(running_mean), optional<float>(running_var));
  });
}

void EigenBackend::do_batch_norm_running(const BatchNormDesc& d, ConstTensorRef running_mean,
                                         ConstTensorRef running_var, TensorRef saved) {
  const float* mean = running_mean.as<float>();
  const float* var = running_var.as<float>();
  for (int64_t group = 0; group < d.groups; ++group)
    for (int64_t c = 0; c < d.channels; ++c) {
      row_of(saved, d, 0, group)[c] = mean[c];
      row_of(saved, d, 1, group)[c] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(var[c]) + d.eps));
    }
}

void EigenBackend::do_batch_norm_apply(const BatchNormDesc& d, const NormOperands& norm, ConstTensorRef residual,
                                       TensorRef y, TensorRef) {
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    apply(d, norm.x.as<T>(), norm.saved, norm.gamma.as<float>(), norm.beta.as<float>(), optional<T>(residual),
          y.as<T>());
  });
}

void EigenBackend::do_batch_norm_backward(const BatchNormDesc& d, ConstTensorRef dy, ConstTensorRef y,
                                          const NormOperands& norm, const NormGradients& to, TensorRef dresidual,
                                          Accum accum) {
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    const Backward<T> operands{dy.as<T>(), norm.x.as<T>(), optional<T>(y), to.dx.as<T>(), optional<T>(dresidual)};
    backward(d, operands, norm.saved, norm.gamma.as<float>(), norm.beta.as<float>(), to.dgamma.as<float>(),
             to.dbeta.as<float>(), accum);
  });
}

}  // namespace dcl
