// Loops run over channels and take several rows at a time, so that per-channel constants and sums (in L1) are touched
// once per row block. Written for the compiler's vectoriser; `omp simd` states that rows never overlap partially.
#include "eigen/kernels/batch_norm.h"

#include "eigen/kernels/element.h"

namespace dcl::kernels::DCL_ISA {
namespace {

constexpr int kRowBlock = 4;

template <int R, class T>
inline void add_moments(const T* x, int64_t channels, const float* shift, float* sum, float* square_sum) {
#pragma omp simd
  for (int64_t c = 0; c < channels; ++c) {
    float first = 0, second = 0;
    for (int r = 0; r < R; ++r) {
      const float d = load(x[r * channels + c]) - shift[c];
      first += d;
      second += d * d;
    }
    sum[c] += first;
    square_sum[c] += second;
  }
}

template <class T>
void statistics(const T* x, int64_t rows, int64_t channels, const float* shift, float* sums) {
  for (int64_t c = 0; c < 2 * channels; ++c) sums[c] = 0;
  int64_t row = 0;
  for (; row + kRowBlock <= rows; row += kRowBlock)
    add_moments<kRowBlock>(x + row * channels, channels, shift, sums, sums + channels);
  for (; row < rows; ++row) add_moments<1>(x + row * channels, channels, shift, sums, sums + channels);
}

template <bool kRelu, bool kResidual, class T>
inline void apply_rows(const T* x, const T* residual, T* y, int64_t rows, int64_t channels, BatchNormAffine affine) {
  for (int64_t row = 0; row < rows; ++row, x += channels, y += channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      float value = (load(x[c]) - affine.mean[c]) * affine.scale[c] + affine.beta[c];
      if (kResidual) value += load(residual[c]);
      if (kRelu) value = value > 0 ? value : (value != value ? value : 0.0f);
      store(y + c, value);
    }
    if (kResidual) residual += channels;
  }
}

template <class T>
void apply(const T* x, const T* residual, T* y, int64_t rows, int64_t channels, BatchNormAffine affine, bool relu) {
  if (relu) {
    if (residual) return apply_rows<true, true>(x, residual, y, rows, channels, affine);
    return apply_rows<true, false>(x, residual, y, rows, channels, affine);
  }
  if (residual) return apply_rows<false, true>(x, residual, y, rows, channels, affine);
  apply_rows<false, false>(x, residual, y, rows, channels, affine);
}

template <BatchNormMask kMask, bool kWrite, int R, class T>
inline void add_gradient_sums(const T* dy, const T* x, const T* y, T* masked, int64_t channels, BatchNormAffine affine,
                              float* sum, float* product_sum) {
#pragma omp simd
  for (int64_t c = 0; c < channels; ++c) {
    float first = 0, second = 0;
    for (int r = 0; r < R; ++r) {
      const int64_t i = r * channels + c;
      const float centred = load(x[i]) - affine.mean[c];
      float g = load(dy[i]);
      if (kMask == BatchNormMask::recomputed) g = centred * affine.scale[c] + affine.beta[c] > 0 ? g : 0.0f;
      if (kMask == BatchNormMask::from_y) g = load(y[i]) > 0 ? g : 0.0f;
      if (kWrite) store(masked + i, g);
      first += g;
      second += g * centred;
    }
    sum[c] += first;
    product_sum[c] += second;
  }
}

template <BatchNormMask kMask, bool kWrite, class T>
inline void backward_sums_of(const T* dy, const T* x, const T* y, T* masked, int64_t rows, int64_t channels,
                             BatchNormAffine affine, float* sums) {
  for (int64_t c = 0; c < 2 * channels; ++c) sums[c] = 0;
  int64_t row = 0;
  const auto at = [&](const T* from) { return from ? from + row * channels : nullptr; };
  for (; row + kRowBlock <= rows; row += kRowBlock)
    add_gradient_sums<kMask, kWrite, kRowBlock>(at(dy), at(x), at(y), const_cast<T*>(at(masked)), channels, affine, sums,
                                                sums + channels);
  for (; row < rows; ++row)
    add_gradient_sums<kMask, kWrite, 1>(at(dy), at(x), at(y), const_cast<T*>(at(masked)), channels, affine, sums,
                                        sums + channels);
}

template <class T>
void backward_sums(const T* dy, const T* x, const T* y, T* masked, int64_t rows, int64_t channels, BatchNormAffine affine,
                   BatchNormMask mask, float* sums) {
  const bool write = masked && !(masked == dy && mask == BatchNormMask::none);
  const auto run = [&](auto kernel) { kernel(dy, x, y, masked, rows, channels, affine, sums); };
  switch (mask) {
    case BatchNormMask::none:
      return write ? run(backward_sums_of<BatchNormMask::none, true, T>) : run(backward_sums_of<BatchNormMask::none, false, T>);
    case BatchNormMask::recomputed:
      return write ? run(backward_sums_of<BatchNormMask::recomputed, true, T>)
                   : run(backward_sums_of<BatchNormMask::recomputed, false, T>);
    case BatchNormMask::from_y:
      return write ? run(backward_sums_of<BatchNormMask::from_y, true, T>)
                   : run(backward_sums_of<BatchNormMask::from_y, false, T>);
  }
}

template <bool kRecompute, class T>
inline void backward_data_rows(const T* dy, const T* x, T* dx, int64_t rows, int64_t channels, BatchNormAffine affine,
                               BatchNormGradient gradient) {
  for (int64_t row = 0; row < rows; ++row, dy += channels, x += channels, dx += channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      const float centred = load(x[c]) - affine.mean[c];
      float g = load(dy[c]);
      if (kRecompute) g = centred * affine.scale[c] + affine.beta[c] > 0 ? g : 0.0f;
      store(dx + c, g * gradient.g_factor[c] + centred * gradient.x_factor[c] + gradient.offset[c]);
    }
  }
}

template <class T>
void backward_data(const T* dy, const T* x, T* dx, int64_t rows, int64_t channels, BatchNormAffine affine,
                   BatchNormGradient gradient, bool recompute_mask) {
  if (recompute_mask) return backward_data_rows<true>(dy, x, dx, rows, channels, affine, gradient);
  backward_data_rows<false>(dy, x, dx, rows, channels, affine, gradient);
}

}  // namespace

extern const BatchNormTable batch_norm_table = {
    {&statistics<float>, &apply<float>, &backward_sums<float>, &backward_data<float>},
    {&statistics<bf16>, &apply<bf16>, &backward_sums<bf16>, &backward_data<bf16>}};

}  // namespace dcl::kernels::DCL_ISA
