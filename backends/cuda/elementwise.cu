// Bound by memory: a thread moves sixteen bytes of the wider side per step.
#include "cuda/dispatch.h"
#include "cuda/elementwise.h"

namespace dcl::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void fill_kernel(T* to, int64_t count, T value) {
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += stride) to[i] = value;
}

template <class T>
void fill_with(Context& context, TensorRef to, T value) {
  const int64_t count = to.shape.elements();
  if (count == 0) return;
  launch(fill_kernel<T>, context.grid_for(ceil_div(count, kThreads)), kThreads, 0, context.stream(), to.as<T>(), count,
         value);
}

/// N elements per thread and step; count is a multiple of N.
template <int N, class From, class To>
__global__ void cast_kernel(const From* from, To* to, int64_t count) {
  const int64_t stride = int64_t{gridDim.x} * kThreads * N;
  for (int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N; i < count; i += stride) {
    float lanes[N];
    if constexpr (N > 1 && sizeof(From) == 4) {
      float half[2][N / 2];
      load(from + i, half[0]);
      load(from + i + N / 2, half[1]);
#pragma unroll
      for (int k = 0; k < N; ++k) lanes[k] = half[k / (N / 2)][k % (N / 2)];
    } else {
      load(from + i, lanes);
    }
    if constexpr (N > 1 && sizeof(To) == 4) {
      float half[2][N / 2];
#pragma unroll
      for (int k = 0; k < N; ++k) half[k / (N / 2)][k % (N / 2)] = lanes[k];
      store(to + i, half[0]);
      store(to + i + N / 2, half[1]);
    } else {
      store(to + i, lanes);
    }
  }
}

template <class From, class To>
void convert(Context& context, const From* from, To* to, int64_t count) {
  constexpr int kLanes = kVector<bf16>;
  if (count == 0) return;
  if (count % kLanes == 0 && vectorizable<float>(count, from, to))
    return launch(cast_kernel<kLanes, From, To>, context.grid_for(ceil_div(count, kThreads * kLanes)), kThreads, 0,
                  context.stream(), from, to, count);
  launch(cast_kernel<1, From, To>, context.grid_for(ceil_div(count, kThreads)), kThreads, 0, context.stream(), from, to,
         count);
}

template <class From>
__global__ void accumulate_kernel(const From* from, float* to, int64_t count) {
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += stride) to[i] += to_float(from[i]);
}

template <class From>
void accumulate_from(Context& context, const From* from, float* to, int64_t count) {
  if (count == 0) return;
  launch(accumulate_kernel<From>, context.grid_for(ceil_div(count, kThreads)), kThreads, 0, context.stream(), from, to,
         count);
}

/// N elements per thread and step; channels are a multiple of N.
template <int N, class T>
__global__ void add_rest_kernel(const T* from, const float* bias, const T* other, bool relu, T* to, int64_t count,
                                int64_t channels) {
  const int64_t stride = int64_t{gridDim.x} * kThreads * N;
  for (int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N; i < count; i += stride) {
    float sum[N], more[N]{};
    load(from + i, sum);
    if (other) load(other + i, more);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (bias) sum[k] += bias[i % channels + k];
      if (other) sum[k] += more[k];
      if (relu && sum[k] < 0) sum[k] = 0;
    }
    store(to + i, sum);
  }
}

}  // namespace

void fill(Context& context, TensorRef to, float value) {
  switch (to.dtype) {
    case DType::bf16:
      return fill_with(context, to, bf16(value));
    case DType::f64:
      return fill_with(context, to, static_cast<double>(value));
    default:
      return fill_with(context, to, value);
  }
}

void cast(Context& context, ConstTensorRef from, TensorRef to) {
  const int64_t count = from.shape.elements();
  if (from.dtype == DType::f32) return convert(context, from.as<float>(), to.as<bf16>(), count);
  convert(context, from.as<bf16>(), to.as<float>(), count);
}

void accumulate(Context& context, ConstTensorRef from, TensorRef to) {
  const int64_t count = from.shape.elements();
  if (from.dtype == DType::bf16) return accumulate_from(context, from.as<bf16>(), to.as<float>(), count);
  accumulate_from(context, from.as<float>(), to.as<float>(), count);
}

void add_rest(Context& context, ConstTensorRef from, ConstTensorRef bias, ConstTensorRef other, bool relu,
              TensorRef to) {
  const int64_t count = to.shape.elements(), channels = to.shape[to.shape.rank() - 1];
  if (count == 0) return;
  const auto body = [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int kLanes = decltype(lanes)::count;
    launch(add_rest_kernel<kLanes, T>, context.grid_for(ceil_div(count, kThreads * kLanes)), kThreads, 0,
           context.stream(), from.as<T>(), bias ? bias.as<float>() : nullptr, other ? other.as<T>() : nullptr, relu,
           to.as<T>(), count, channels);
  };
  with_lanes(to.dtype, channels, body, from.data, other.data, to.data);
}

}  // namespace dcl::cuda
