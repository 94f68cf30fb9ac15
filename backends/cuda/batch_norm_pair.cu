// Two batch norms whose results are added, behind a block whose skip path has a convolution: neither result is written
// by itself, and the gradient behind the ReLU is not written either, since both passes over it mask dy themselves.
// bf16, eight channels at a time.
#include "cuda/batch_norm.h"
#include "cuda/batch_norm_shape.h"

namespace dcl::cuda {
namespace {

constexpr int kLanes = kVector<bf16>;

struct PairPointers {
  const bf16* x[2];
  const float *saved[2], *gamma[2], *beta[2];

  explicit PairPointers(const NormPair& o) {
    for (size_t i = 0; i < 2; ++i) {
      x[i] = o[i].x.as<bf16>();
      saved[i] = o[i].saved.as<float>(), gamma[i] = o[i].gamma.as<float>(), beta[i] = o[i].beta.as<float>();
    }
  }
};

__global__ void __launch_bounds__(kBatchNormThreads, 2)
    apply_kernel(BatchNormShape s, PairPointers o, bf16* y, uint8_t* positive) {
  const BatchNormPlace<kLanes> p(s);
  if (!p.inside) return;
  const BatchNormAffine<kLanes> first(s, p, o.saved[0], o.gamma[0], o.beta[0]);
  const BatchNormAffine<kLanes> second(s, p, o.saved[1], o.gamma[1], o.beta[1]);
  const int64_t base = p.base(s);
  each_row(s, p, [&](int64_t row, auto rows) {
    constexpr int U = decltype(rows)::count;
    float a[U][kLanes], b[U][kLanes];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int64_t at = base + (row + u * s.lines) * s.channels;
      load(o.x[0] + at, a[u]);
      load(o.x[1] + at, b[u]);
    }
#pragma unroll
    for (int u = 0; u < U; ++u) {
#pragma unroll
      for (int k = 0; k < kLanes; ++k) {
        const float sum = first(a[u][k], k) + second(b[u][k], k);
        a[u][k] = sum < 0 ? 0.0f : sum;  // NaN stays NaN
      }
      const int64_t at = base + (row + u * s.lines) * s.channels;
      store(y + at, a[u]);
      positive[at / kLanes] = signs_of<bf16>(a[u]);
    }
  });
}

/// partial: of the first, then of the second.
__global__ void __launch_bounds__(kBatchNormThreads, 2)
    sums_kernel(BatchNormShape s, PairPointers o, const bf16* dy, const uint8_t* positive, float* partial,
                int64_t partials) {
  const BatchNormPlace<kLanes> p(s);
  float sum[kLanes] = {}, products[2][kLanes] = {};
  if (p.inside) {
    float mean[2][kLanes];
    for (int i = 0; i < 2; ++i) load_channels(o.saved[i] + p.group * s.channels + p.channel, mean[i]);
    const int64_t base = p.base(s);
    each_row(s, p, [&](int64_t row, auto rows) {
      constexpr int U = decltype(rows)::count;
      float g[U][kLanes], x[2][U][kLanes];
      unsigned signs[U];
#pragma unroll
      for (int u = 0; u < U; ++u) {
        const int64_t at = base + (row + u * s.lines) * s.channels;
        load(dy + at, g[u]);
        load(o.x[0] + at, x[0][u]);
        load(o.x[1] + at, x[1][u]);
        signs[u] = positive[at / kLanes];
      }
#pragma unroll
      for (int u = 0; u < U; ++u)
#pragma unroll
        for (int k = 0; k < kLanes; ++k) {
          const float masked = signs[u] >> k & 1 ? g[u][k] : 0.0f;
          sum[k] += masked;
          for (int i = 0; i < 2; ++i) products[i][k] = __fmaf_rn(masked, x[i][u][k] - mean[i][k], products[i][k]);
        }
    });
  }
  write_partial(s, p, sum, products[0], partial);
  __syncthreads();  // it is still read
  write_partial(s, p, sum, products[1], partial + partials);
}

/// As data_kernel of one, for both. dx[1] may be dy: a thread reads an element before it writes it.
__global__ void __launch_bounds__(kBatchNormThreads, 2)
    data_kernel(BatchNormShape s, PairPointers o, const bf16* dy, const uint8_t* positive, const float* factors,
                int64_t factors_of_one, bf16* first_dx, bf16* second_dx) {
  const BatchNormPlace<kLanes> p(s);
  if (!p.inside) return;
  const BatchNormData<kLanes> first(s, p, o.saved[0], factors), second(s, p, o.saved[1], factors + factors_of_one);
  const int64_t base = p.base(s);
  each_row(s, p, [&](int64_t row, auto rows) {
    constexpr int U = decltype(rows)::count;
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int64_t at = base + (row + u * s.lines) * s.channels;
      float g[kLanes], x[2][kLanes];
      load(dy + at, g);
      load(o.x[0] + at, x[0]);
      load(o.x[1] + at, x[1]);
      const unsigned signs = positive[at / kLanes];
#pragma unroll
      for (int k = 0; k < kLanes; ++k) {
        const float masked = signs >> k & 1 ? g[k] : 0.0f;
        x[0][k] = first(masked, x[0][k], k);
        x[1][k] = second(masked, x[1][k], k);
      }
      store(first_dx + at, x[0]);
      store(second_dx + at, x[1]);
    }
  });
}

void require_vectors(const BatchNormDesc& d, const NormPair& o) {
  for (const NormOperands& one : o)
    if (!vectorizable<bf16>(d.channels, one.x.data, one.saved.data, one.gamma.data, one.beta.data))
      fail(ErrorKind::internal, "pairs of batch norms are computed for whole vectors of bf16 only");
}

}  // namespace

void batch_norm_pair_apply(Context& context, const BatchNormDesc& d, const NormPair& o, TensorRef y,
                           TensorRef positive) {
  require_vectors(d, o);
  const BatchNormShape s(d, kLanes, kWritingBlocks, Walk::up);
  launch(apply_kernel, s.grid(), kBatchNormThreads, 0, context.stream(), s, PairPointers(o), y.as<bf16>(),
         positive.as<uint8_t>());
}

void batch_norm_pair_backward(Context& context, const BatchNormDesc& d, ConstTensorRef dy, ConstTensorRef positive,
                              const NormPair& o, const NormPairGradients& to, Accum accum) {
  require_vectors(d, o);
  const PairPointers pointers(o);
  const BatchNormShape sums(d, kLanes, kSummingBlocks, Walk::down), data(d, kLanes, kWritingBlocks, Walk::up);
  const int64_t partials = sums.groups * sums.pieces * 2 * sums.channels, factors_of_one = 3 * d.groups * d.channels;
  float* partial = context.scratch<float>(2 * (partials + factors_of_one));
  float* factors = partial + 2 * partials;
  launch(sums_kernel, sums.grid(), kBatchNormThreads, 0, context.stream(), sums, pointers, dy.as<bf16>(),
         positive.as<uint8_t>(), partial, partials);
  for (size_t i = 0; i < 2; ++i)
    finish_batch_norm_sums(context, sums, partial + static_cast<int64_t>(i) * partials, pointers.saved[i],
                           pointers.gamma[i], accum, to[i].dgamma.as<float>(), to[i].dbeta.as<float>(),
                           factors + static_cast<int64_t>(i) * factors_of_one);
  launch(data_kernel, data.grid(), kBatchNormThreads, 0, context.stream(), data, pointers, dy.as<bf16>(),
         positive.as<uint8_t>(), factors, factors_of_one, to[0].dx.as<bf16>(), to[1].dx.as<bf16>());
}

}  // namespace dcl::cuda
