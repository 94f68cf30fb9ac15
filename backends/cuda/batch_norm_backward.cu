// Two passes over dy and x: sums of g and g (x - mean), where g is dy behind the ReLU, then
//   dx = gamma r g - gamma r^3 mean(g (x - mean)) (x - mean) - gamma r mean(g),  r = 1/sqrt(var + eps).
// With a residual the first pass writes g, which is the residual's gradient, and the second reads it instead of dy.
#include "cuda/batch_norm.h"
#include "cuda/batch_norm_shape.h"

namespace dcl::cuda {
namespace {

/// Where the ReLU's mask comes from.
enum class Mask { none, from_x, from_y, from_signs };

template <class T>
struct Operands {
  const T *dy, *x, *y;
  const uint8_t* signs;
  T* masked;  // dresidual
  const float *saved, *gamma, *beta;
};

template <int N, Mask kMask, bool kWrite, class T>
__global__ void __launch_bounds__(kBatchNormThreads, 2) sums_kernel(BatchNormShape s, Operands<T> o, float* partial) {
  const BatchNormPlace<N> p(s);
  float sum[N] = {}, product_sum[N] = {};
  if (p.inside) {
    const BatchNormAffine<N> affine(s, p, o.saved, o.gamma, o.beta);
    const int64_t base = p.base(s);
    each_row(s, p, [&](int64_t row, auto rows) {
      constexpr int U = decltype(rows)::count;
      float g[U][N], x[U][N];
      [[maybe_unused]] float y[U][N];
      [[maybe_unused]] unsigned signs[U];
#pragma unroll
      for (int u = 0; u < U; ++u) {
        const int64_t at = base + (row + u * s.lines) * s.channels;
        load(o.dy + at, g[u]);
        load(o.x + at, x[u]);
        if constexpr (kMask == Mask::from_y) load(o.y + at, y[u]);
        if constexpr (kMask == Mask::from_signs) signs[u] = o.signs[at / N];
      }
#pragma unroll
      for (int u = 0; u < U; ++u) {
#pragma unroll
        for (int k = 0; k < N; ++k) {
          if constexpr (kMask == Mask::from_x) g[u][k] = affine(x[u][k], k) > 0 ? g[u][k] : 0.0f;
          if constexpr (kMask == Mask::from_y) g[u][k] = y[u][k] > 0 ? g[u][k] : 0.0f;
          if constexpr (kMask == Mask::from_signs) g[u][k] = signs[u] >> k & 1 ? g[u][k] : 0.0f;
          sum[k] += g[u][k];
          product_sum[k] = __fmaf_rn(g[u][k], x[u][k] - affine.mean[k], product_sum[k]);
        }
        if constexpr (kWrite) store(o.masked + base + (row + u * s.lines) * s.channels, g[u]);
      }
    });
  }
  write_partial(s, p, sum, product_sum, partial);
}

/// As finish_batch_norm_sums.
__global__ void __launch_bounds__(kCombineThreads, 1)
    finish_sums(BatchNormShape s, const float* partial, const float* saved, const float* gamma, bool add, float* dgamma,
                float* dbeta, float* factors) {
  const int64_t c = combine_channel();
  const double count = static_cast<double>(s.rows);
  const bool leads = combine_leader(s);
  const double scale = leads ? static_cast<double>(gamma[c]) : 0;
  double dgamma_sum = leads && add ? static_cast<double>(dgamma[c]) : 0,
         dbeta_sum = leads && add ? static_cast<double>(dbeta[c]) : 0;
  for (int first = 0; first < s.groups; first += kCombineGroups) {
    PartialSums sums[kCombineGroups];
    float inv_std[kCombineGroups];  // on their way while sums are combined
#pragma unroll
    for (int g = 0; g < kCombineGroups; ++g)
      inv_std[g] = leads && first + g < s.groups ? saved[(s.groups + first + g) * s.channels + c] : 0.0f;
    combine_pieces(s, partial, first, sums);
    if (!leads) continue;
#pragma unroll
    for (int g = 0; g < kCombineGroups; ++g) {
      const int group = first + g;
      if (group == s.groups) break;
      const double r = static_cast<double>(inv_std[g]);
      const double factor = scale * r;
      dbeta_sum += sums[g].a;
      dgamma_sum += sums[g].b * r;
      float* own = factors + int64_t{group} * 3 * s.channels + c;
      own[0] = static_cast<float>(factor);
      own[s.channels] = static_cast<float>(-factor * r * r * sums[g].b / count);
      own[2 * s.channels] = static_cast<float>(-factor * sums[g].a / count);
    }
  }
  if (!leads) return;
  dgamma[c] = static_cast<float>(dgamma_sum);
  dbeta[c] = static_cast<float>(dbeta_sum);
}

/// dx may be dy: a thread reads an element before it writes it, and no other thread touches it.
template <int N, bool kRemask, class T>
__global__ void __launch_bounds__(kBatchNormThreads)
    data_kernel(BatchNormShape s, const T* g_all, Operands<T> o, const float* factors, T* dx) {
  const BatchNormPlace<N> p(s);
  if (!p.inside) return;
  const BatchNormAffine<N> affine(s, p, o.saved, o.gamma, o.beta);
  const BatchNormData<N> data(s, p, o.saved, factors);
  const int64_t base = p.base(s);
  each_row(s, p, [&](int64_t row, auto rows) {
    constexpr int U = decltype(rows)::count;
    float g[U][N], x[U][N];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int64_t at = base + (row + u * s.lines) * s.channels;
      load(g_all + at, g[u]);
      load(o.x + at, x[u]);
    }
#pragma unroll
    for (int u = 0; u < U; ++u) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        if constexpr (kRemask) g[u][k] = affine(x[u][k], k) > 0 ? g[u][k] : 0.0f;
        g[u][k] = data(g[u][k], x[u][k], k);
      }
      store(dx + base + (row + u * s.lines) * s.channels, g[u]);
    }
  });
}

template <int N, class T>
auto sums_kernel_for(Mask mask, bool write) {
  switch (mask) {
    case Mask::from_x:
      return write ? sums_kernel<N, Mask::from_x, true, T> : sums_kernel<N, Mask::from_x, false, T>;
    case Mask::from_signs:
      if constexpr (N == 8) return sums_kernel<N, Mask::from_signs, true, T>;
      fail(ErrorKind::internal, "signs are read of whole vectors of bf16 only");
    case Mask::from_y:
      return write ? sums_kernel<N, Mask::from_y, true, T> : sums_kernel<N, Mask::from_y, false, T>;
    default:
      return write ? sums_kernel<N, Mask::none, true, T> : sums_kernel<N, Mask::none, false, T>;
  }
}

}  // namespace

void finish_batch_norm_sums(Context& context, const BatchNormShape& s, const float* partial, const float* saved,
                            const float* gamma, Accum accum, float* dgamma, float* dbeta, float* factors) {
  launch(finish_sums, combine_blocks(s.channels), kCombineThreads, 0, context.stream(), s, partial, saved, gamma,
         accum == Accum::add, dgamma, dbeta, factors);
}

void batch_norm_backward(Context& context, const BatchNormDesc& d, ConstTensorRef dy, ConstTensorRef y,
                         const NormOperands& norm, const NormGradients& to, TensorRef dresidual, Accum accum) {
  const auto run = [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int N = decltype(lanes)::count;
    const bool signs = d.relu && d.residual && y.dtype == DType::u8;
    const Operands<T> o{dy.as<T>(),
                        norm.x.as<T>(),
                        y && !signs ? y.as<T>() : nullptr,
                        signs ? y.as<uint8_t>() : nullptr,
                        dresidual ? dresidual.as<T>() : nullptr,
                        norm.saved.as<float>(),
                        norm.gamma.as<float>(),
                        norm.beta.as<float>()};
    const Mask mask = !d.relu ? Mask::none : signs ? Mask::from_signs : d.residual ? Mask::from_y : Mask::from_x;
    const bool write = o.masked && !(o.masked == o.dy && mask == Mask::none);
    const BatchNormShape sums(d, N, kSummingBlocks, Walk::down), data(d, N, kWritingBlocks, Walk::up);
    const int64_t partials = sums.groups * sums.pieces * 2 * sums.channels;
    float* factors = context.scratch<float>(partials + 3 * d.groups * d.channels) + partials;
    float* partial = factors - partials;
    launch(sums_kernel_for<N, T>(mask, write), sums.grid(), kBatchNormThreads, 0, context.stream(), sums, o, partial);
    finish_batch_norm_sums(context, sums, partial, o.saved, o.gamma, accum, to.dgamma.as<float>(), to.dbeta.as<float>(),
                           factors);
    launch(mask == Mask::from_x ? data_kernel<N, true, T> : data_kernel<N, false, T>, data.grid(), kBatchNormThreads, 0,
           context.stream(), data, o.masked ? o.masked : o.dy, o, factors, to.dx.as<T>());
  };
  with_lanes(d.dtype, d.channels, run, dy.data, norm.x.data, y.data, to.dx.data, dresidual.data, norm.saved.data,
             norm.gamma.data, norm.beta.data);
}

}  // namespace dcl::cuda
