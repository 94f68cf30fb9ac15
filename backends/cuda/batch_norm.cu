// Statistics, running statistics and apply. Bound by memory: statistics read x once, apply reads x (and the residual)
// once and writes y once, sixteen bytes at a time. Statistics are shifted by the group's first row, so that a mean far
// from zero costs no digits, and summed in f32 over the few rows of a thread, in double beyond.
#include <cmath>

#include "cuda/batch_norm.h"
#include "cuda/batch_norm_shape.h"

namespace dcl::cuda {
namespace {

template <int N, class T>
__global__ void __launch_bounds__(kBatchNormThreads) statistics_kernel(BatchNormShape s, const T* all, float* partial) {
  const BatchNormPlace<N> p(s);
  float shift[N] = {}, sum[N] = {}, squares[N] = {};
  const T* x = all + p.base(s);
  if (p.inside) load(x, shift);
  each_row(s, p, [&](int64_t row, auto rows) {
    constexpr int U = decltype(rows)::count;
    float lanes[U][N];
#pragma unroll
    for (int u = 0; u < U; ++u) load(x + (row + u * s.lines) * s.channels, lanes[u]);
#pragma unroll
    for (int u = 0; u < U; ++u)
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float d = lanes[u][k] - shift[k];
        sum[k] += d;
        squares[k] = __fmaf_rn(d, d, squares[k]);
      }
  });
  write_partial(s, p, sum, squares, partial);
}

/// Running statistics of a channel.
struct Running {
  float mean, var;
};

/// Where statistics go, group after group, which is the order of the running updates.
struct StatisticsOutput {
  int groups, running_every;
  int64_t channels;
  double count, eps, momentum;                // count: rows of a group
  float *saved, *running_mean, *running_var;  // running ones: null for none

  StatisticsOutput(const BatchNormDesc& d, TensorRef to, TensorRef mean, TensorRef var)
      : groups(static_cast<int>(d.groups)),
        running_every(static_cast<int>(d.running_every)),
        channels(d.channels),
        count(static_cast<double>(d.rows / d.groups)),
        eps(d.eps),
        momentum(d.momentum),
        saved(to.as<float>()),
        running_mean(mean ? mean.as<float>() : nullptr),
        running_var(var ? var.as<float>() : nullptr) {}

  __device__ Running running(int64_t c) const {
    return running_mean ? Running{running_mean[c], running_var[c]} : Running{0, 0};
  }
  __device__ void store(int64_t c, const Running& running) const {
    if (running_mean) running_mean[c] = running.mean, running_var[c] = running.var;
  }

  /// spread: the variance, below 0 by rounding only.
  __device__ void store(int group, int64_t c, double mean, double spread, Running& running) const {
    const double var = spread < 0 ? 0.0 : spread;  // NaN stays NaN
    saved[group * channels + c] = static_cast<float>(mean);
    saved[(groups + group) * channels + c] = static_cast<float>(1.0 / sqrt(var + eps));
    if (group % running_every != 0) return;
    const double keep = 1 - momentum, unbiased = count / (count - 1);
    running.mean = static_cast<float>(keep * static_cast<double>(running.mean) + momentum * mean);
    running.var = static_cast<float>(keep * static_cast<double>(running.var) + momentum * unbiased * var);
  }
};

/// One block per kCombineChannels channels.
template <class T>
__global__ void __launch_bounds__(kCombineThreads, 1)
    finish_statistics(BatchNormShape s, const T* x, const float* partial, StatisticsOutput out) {
  const int64_t c = combine_channel();
  const bool leads = combine_leader(s);
  Running running = leads ? out.running(c) : Running{};
  for (int first = 0; first < s.groups; first += kCombineGroups) {
    PartialSums sums[kCombineGroups];
    float shift[kCombineGroups];  // on their way while sums are combined
#pragma unroll
    for (int g = 0; g < kCombineGroups; ++g)
      shift[g] = leads && first + g < s.groups ? to_float(x[(first + g) * s.rows * s.channels + c]) : 0.0f;
    combine_pieces(s, partial, first, sums);
    if (!leads) continue;
#pragma unroll
    for (int g = 0; g < kCombineGroups; ++g) {
      if (first + g == s.groups) break;
      const double centre = sums[g].a / out.count;
      out.store(first + g, c, static_cast<double>(shift[g]) + centre, sums[g].b / out.count - centre * centre, running);
    }
  }
  if (leads) out.store(c, running);
}

__global__ void running_kernel(int groups, int64_t channels, double eps, const float* mean, const float* var,
                               float* saved) {
  const int64_t c = int64_t{blockIdx.x} * kBatchNormThreads + threadIdx.x;
  if (c >= channels) return;
  for (int group = 0; group < groups; ++group) {
    saved[group * channels + c] = mean[c];
    saved[(groups + group) * channels + c] = static_cast<float>(1.0 / sqrt(static_cast<double>(var[c]) + eps));
  }
}

/// y may be x or the residual: a thread reads an element before it writes it, and no other thread touches it.
template <int N, bool kRelu, bool kResidual, bool kSigns, class T>
__global__ void __launch_bounds__(kBatchNormThreads)
    apply_kernel(BatchNormShape s, const T* x, const float* saved, const float* gamma, const float* beta,
                 const T* residual, T* y, uint8_t* positive) {
  const BatchNormPlace<N> p(s);
  if (!p.inside) return;
  const BatchNormAffine<N> affine(s, p, saved, gamma, beta);
  const int64_t base = p.base(s);
  each_row(s, p, [&](int64_t row, auto rows) {
    constexpr int U = decltype(rows)::count;
    float lanes[U][N];
    [[maybe_unused]] float added[U][N];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int64_t at = base + (row + u * s.lines) * s.channels;
      load(x + at, lanes[u]);
      if constexpr (kResidual) load(residual + at, added[u]);
    }
#pragma unroll
    for (int u = 0; u < U; ++u) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        float value = affine(lanes[u][k], k);
        if constexpr (kResidual) value += added[u][k];
        if constexpr (kRelu) value = value < 0 ? 0.0f : value;  // NaN stays NaN
        lanes[u][k] = value;
      }
      const int64_t at = base + (row + u * s.lines) * s.channels;
      store(y + at, lanes[u]);
      if constexpr (kSigns) positive[at / N] = signs_of<T>(lanes[u]);
    }
  });
}

template <int N, class T>
auto apply_kernel_for(bool relu, bool residual, bool signs) {
  if constexpr (N == 8)
    if (signs) return apply_kernel<N, true, true, true, T>;
  if (signs) fail(ErrorKind::internal, "signs are kept of whole vectors of bf16 only");
  if (relu) return residual ? apply_kernel<N, true, true, false, T> : apply_kernel<N, true, false, false, T>;
  return residual ? apply_kernel<N, false, true, false, T> : apply_kernel<N, false, false, false, T>;
}

}  // namespace

void batch_norm_statistics(Context& context, const BatchNormDesc& d, ConstTensorRef x, TensorRef saved,
                           TensorRef running_mean, TensorRef running_var) {
  const auto run = [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int N = decltype(lanes)::count;
    const BatchNormShape s(d, N, kSummingBlocks, Walk::down);
    float* partial = context.scratch<float>(s.groups * s.pieces * 2 * s.channels);
    launch(statistics_kernel<N, T>, s.grid(), kBatchNormThreads, 0, context.stream(), s, x.as<T>(), partial);
    launch(finish_statistics<T>, combine_blocks(d.channels), kCombineThreads, 0, context.stream(), s, x.as<T>(),
           partial, StatisticsOutput(d, saved, running_mean, running_var));
  };
  with_lanes(d.dtype, d.channels, run, x.data);
}

void batch_norm_running(Context& context, const BatchNormDesc& d, ConstTensorRef running_mean,
                        ConstTensorRef running_var, TensorRef saved) {
  launch(running_kernel, static_cast<unsigned>(ceil_div(d.channels, kBatchNormThreads)), kBatchNormThreads, 0,
         context.stream(), static_cast<int>(d.groups), d.channels, d.eps, running_mean.as<float>(),
         running_var.as<float>(), saved.as<float>());
}

void batch_norm_apply(Context& context, const BatchNormDesc& d, const NormOperands& norm, ConstTensorRef residual,
                      TensorRef y, TensorRef positive) {
  const auto run = [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int N = decltype(lanes)::count;
    const BatchNormShape s(d, N, kWritingBlocks, Walk::up);
    launch(apply_kernel_for<N, T>(d.relu, d.residual, static_cast<bool>(positive)), s.grid(), kBatchNormThreads, 0,
           context.stream(), s, norm.x.as<T>(), norm.saved.as<float>(), norm.gamma.as<float>(), norm.beta.as<float>(),
           residual ? residual.as<T>() : nullptr, y.as<T>(), positive ? positive.as<uint8_t>() : nullptr);
  };
  with_lanes(d.dtype, d.channels, run, norm.x.data, residual.data, y.data, norm.saved.data, norm.gamma.data,
             norm.beta.data);
}

}  // namespace dcl::cuda
