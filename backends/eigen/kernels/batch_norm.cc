// A call's rows are read as a few streams, each sequential in memory (row i of every stream, then row i + 1 of every
// stream): that keeps more of the memory's bandwidth busy than one stream does, and per-channel constants and sums,
// which lie in the first-level cache, are touched once for all streams.
#include "eigen/kernels/batch_norm.h"

#include "eigen/kernels/lanes.h"

namespace dcl::kernels::DCL_ISA {
namespace {

// Streams per tensor: about eight reads at a time were fastest on two cores; see bench/batch_norm_bench.cc.
constexpr int kStatisticsStreams = 8;
constexpr int kStreams = 4;
constexpr int kWritingSumsStreams = 2;
// Stores past the caches are gathered into lines by a few buffers: halves of lines of several streams would evict each
// other (measured on Zen 3: 3 to 4 times slower).
constexpr int kPastCacheStreams = kVectorBytes == 64 ? kStreams : 1;

template <int R>
struct Streams {
  static constexpr int count = R;
};

/// Calls block(Streams<R>, row, part) so that the rows row, row + part, ... (R of them) visit every row once.
template <int R, class Block>
DCL_INLINE void in_streams(int64_t rows, Block&& block) {
  const int64_t part = rows / R;
  for (int64_t row = 0; row < part; ++row) block(Streams<R>{}, row, part);
  for (int64_t row = part * R; row < rows; ++row) block(Streams<1>{}, row, int64_t{0});
}

template <class T>
void statistics(const T* x, int64_t rows, int64_t channels, const float* shift, float* sums) {
  for (int64_t c = 0; c < 2 * channels; ++c) sums[c] = 0;
  float* square_sums = sums + channels;
  in_streams<kStatisticsStreams>(rows, [&](auto streams, int64_t row, int64_t part) {
    const T* first = x + row * channels;
    each_channel<T>(channels, [&](auto lanes, int64_t c) {
      using L = decltype(lanes);
      using F = typename L::F;
      const F centre = L::load(shift + c);
      F sum{}, square_sum{};
#pragma GCC unroll 8
      for (int s = 0; s < decltype(streams)::count; ++s) {
        const F d = L::load(first + s * part * channels + c) - centre;
        sum += d;
        square_sum = multiply_add(d, d, square_sum);
      }
      L::store(sums + c, L::load(sums + c) + sum);
      L::store(square_sums + c, L::load(square_sums + c) + square_sum);
    });
  });
}

template <bool kRelu, bool kResidual, bool kStream, class T>
void apply_rows(const T* x, const T* residual, T* y, int64_t rows, int64_t channels, BatchNormAffine affine) {
  in_streams<kStream ? kPastCacheStreams : kStreams>(rows, [&](auto streams, int64_t row, int64_t part) {
    each_channel<T>(channels, [&](auto lanes, int64_t c) {
      using L = decltype(lanes);
      const auto mean = L::load(affine.mean + c), scale = L::load(affine.scale + c), beta = L::load(affine.beta + c);
#pragma GCC unroll 8
      for (int s = 0; s < decltype(streams)::count; ++s) {
        const int64_t i = (row + s * part) * channels + c;
        auto value = multiply_add(L::load(x + i) - mean, scale, beta);
        if (kResidual) value += L::load(residual + i);
        if (kRelu) value = relu_of(value);
        if (kStream)
          L::stream(y + i, value);
        else
          L::store(y + i, value);
      }
    });
  });
  if (kStream) end_streaming();
}

template <bool kValue>
struct Flag {
  static constexpr bool value = kValue;
};
/// Calls run with the two values as types.
template <class Run>
DCL_INLINE void with_flags(bool a, bool b, Run&& run) {
  if (a) return b ? run(Flag<true>{}, Flag<true>{}) : run(Flag<true>{}, Flag<false>{});
  return b ? run(Flag<false>{}, Flag<true>{}) : run(Flag<false>{}, Flag<false>{});
}

template <class T>
void apply(const T* x, const T* residual, T* y, int64_t rows, int64_t channels, BatchNormAffine affine, bool relu,
           bool stream) {
  with_flags(relu, stream, [&](auto r, auto s) {
    if (residual) return apply_rows<r.value, true, s.value>(x, residual, y, rows, channels, affine);
    apply_rows<r.value, false, s.value>(x, residual, y, rows, channels, affine);
  });
}

template <BatchNormMask kMask, bool kWrite, class T>
void backward_sums_of(const T* dy, const T* x, const T* y, T* masked, int64_t rows, int64_t channels,
                      BatchNormAffine affine, float* sums) {
  for (int64_t c = 0; c < 2 * channels; ++c) sums[c] = 0;
  float* product_sums = sums + channels;
  in_streams<kWrite ? kWritingSumsStreams : kStreams>(rows, [&](auto streams, int64_t row, int64_t part) {
    each_channel<T>(channels, [&](auto lanes, int64_t c) {
      using L = decltype(lanes);
      using F = typename L::F;
      const F mean = L::load(affine.mean + c);
      F sum{}, product_sum{};
#pragma GCC unroll 8
      for (int s = 0; s < decltype(streams)::count; ++s) {
        const int64_t i = (row + s * part) * channels + c;
        const F centred = L::load(x + i) - mean;
        F g = L::load(dy + i);
        if (kMask == BatchNormMask::recomputed)
          g = where_positive(multiply_add(centred, L::load(affine.scale + c), L::load(affine.beta + c)), g);
        if (kMask == BatchNormMask::from_y) g = where_positive(L::load(y + i), g);
        if (kWrite) L::store(masked + i, g);
        sum += g;
        product_sum = multiply_add(g, centred, product_sum);
      }
      L::store(sums + c, L::load(sums + c) + sum);
      L::store(product_sums + c, L::load(product_sums + c) + product_sum);
    });
  });
}

template <class T>
void backward_sums(const T* dy, const T* x, const T* y, T* masked, int64_t rows, int64_t channels,
                   BatchNormAffine affine, BatchNormMask mask, float* sums) {
  const auto run = [&](auto with_write, auto without) {
    const bool write = masked && !(masked == dy && mask == BatchNormMask::none);
    if (write) return with_write(dy, x, y, masked, rows, channels, affine, sums);
    without(dy, x, y, masked, rows, channels, affine, sums);
  };
  switch (mask) {
    case BatchNormMask::none:
      return run(&backward_sums_of<BatchNormMask::none, true, T>, &backward_sums_of<BatchNormMask::none, false, T>);
    case BatchNormMask::recomputed:
      return run(&backward_sums_of<BatchNormMask::recomputed, true, T>,
                 &backward_sums_of<BatchNormMask::recomputed, false, T>);
    case BatchNormMask::from_y:
      return run(&backward_sums_of<BatchNormMask::from_y, true, T>, &backward_sums_of<BatchNormMask::from_y, false, T>);
  }
}

template <bool kRecompute, bool kStream, class T>
void backward_data_rows(const T* dy, const T* x, T* dx, int64_t rows, int64_t channels, BatchNormAffine affine,
                        BatchNormGradient gradient) {
  in_streams<kStream ? kPastCacheStreams : kStreams>(rows, [&](auto streams, int64_t row, int64_t part) {
    each_channel<T>(channels, [&](auto lanes, int64_t c) {
      using L = decltype(lanes);
      using F = typename L::F;
      const F mean = L::load(affine.mean + c), g_factor = L::load(gradient.g_factor + c);
      const F x_factor = L::load(gradient.x_factor + c), offset = L::load(gradient.offset + c);
#pragma GCC unroll 8
      for (int s = 0; s < decltype(streams)::count; ++s) {
        const int64_t i = (row + s * part) * channels + c;
        const F centred = L::load(x + i) - mean;
        F g = L::load(dy + i);
        if (kRecompute)
          g = where_positive(multiply_add(centred, L::load(affine.scale + c), L::load(affine.beta + c)), g);
        const F value = multiply_add(g, g_factor, multiply_add(centred, x_factor, offset));
        if (kStream)
          L::stream(dx + i, value);
        else
          L::store(dx + i, value);
      }
    });
  });
  if (kStream) end_streaming();
}

template <class T>
void backward_data(const T* dy, const T* x, T* dx, int64_t rows, int64_t channels, BatchNormAffine affine,
                   BatchNormGradient gradient, bool recompute_mask, bool stream) {
  with_flags(recompute_mask, stream, [&](auto recompute, auto s) {
    backward_data_rows<recompute.value, s.value>(dy, x, dx, rows, channels, affine, gradient);
  });
}

}  // namespace

extern const BatchNormTable batch_norm_table;
const BatchNormTable batch_norm_table = {
    {&statistics<float>, &apply<float>, &backward_sums<float>, &backward_data<float>},
    {&statistics<bf16>, &apply<bf16>, &backward_sums<bf16>, &backward_data<bf16>}};

}  // namespace dcl::kernels::DCL_ISA
