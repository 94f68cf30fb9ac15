// Bound by memory: a thread makes one vector of channels of one pixel of the result, which it alone writes.
#include "core/error.h"
#include "cuda/dispatch.h"
#include "cuda/pooling.h"

namespace dcl::cuda {
namespace {

constexpr int kThreads = 256;

/// Extents of max pooling, in 32 bits: a thread finds its place by divisions, which take several times as long in 64.
struct Geometry {
  int n, h, w, c, out_h, out_w, window, stride, pad;

  explicit Geometry(const MaxPoolDesc& d)
      : n(narrow(d.n)),
        h(narrow(d.h)),
        w(narrow(d.w)),
        c(narrow(d.c)),
        out_h(narrow(d.out_h())),
        out_w(narrow(d.out_w())),
        window(narrow(d.window)),
        stride(narrow(d.stride)),
        pad(narrow(d.pad)) {}
  static int narrow(int64_t extent) { return static_cast<int>(extent); }
};

/// A pixel and its vector of channels, from the thread's number.
struct Place {
  int n, row, column, channel;
  int64_t offset;  // of the vector, in elements
};
template <int N>
__device__ __forceinline__ Place place_of(unsigned at, int h, int w, int c) {
  const unsigned vectors = static_cast<unsigned>(c) / N, pixel = at / vectors;
  const int channel = static_cast<int>(at - pixel * vectors) * N, line = static_cast<int>(pixel) / w;
  return {line / h, line % h, static_cast<int>(pixel) % w, channel, int64_t{pixel} * c + channel};
}

__device__ __forceinline__ unsigned first_thread() { return blockIdx.x * kThreads + threadIdx.x; }
__device__ __forceinline__ unsigned all_threads() { return gridDim.x * kThreads; }

template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    max_forward_kernel(Geometry g, unsigned count, const T* x, T* y, uint8_t* argmax) {
  for (unsigned at = first_thread(); at < count; at += all_threads()) {
    const Place p = place_of<N>(at, g.out_h, g.out_w, g.c);
    float best[N] = {};
    Bytes<N> taps{};
    bool first = true;
    for (int r = 0; r < g.window; ++r)
      for (int s = 0; s < g.window; ++s) {
        const int row = p.row * g.stride - g.pad + r, column = p.column * g.stride - g.pad + s;
        if (row < 0 || row >= g.h || column < 0 || column >= g.w) continue;
        const auto tap = static_cast<uint8_t>(r * g.window + s);
        float lanes[N];
        load(x + int64_t{(p.n * g.h + row) * g.w + column} * g.c + p.channel, lanes);
#pragma unroll
        for (int k = 0; k < N; ++k) {
          const float value = lanes[k];
          const bool wins = first || value > best[k] || (value != value && best[k] == best[k]);
          best[k] = wins ? value : best[k];
          taps.lanes[k] = wins ? tap : taps.lanes[k];
        }
        first = false;
      }
    store(y + p.offset, best);
    store_bytes(argmax + p.offset, taps);
  }
}

/// First and last window (inclusive) along one axis that cover `position`.
struct Span {
  int first, last;
};
__device__ __forceinline__ Span windows_over(int position, int extent, const Geometry& g) {
  const int shifted = position + g.pad - g.window + 1;
  return {shifted > 0 ? (shifted + g.stride - 1) / g.stride : 0, min((position + g.pad) / g.stride, extent - 1)};
}

template <int N, class T>
__global__ void __launch_bounds__(kThreads, 4)
    max_backward_kernel(Geometry g, unsigned count, const T* dy, const uint8_t* argmax, T* dx) {
  for (unsigned at = first_thread(); at < count; at += all_threads()) {
    const Place p = place_of<N>(at, g.h, g.w, g.c);
    const Span rows = windows_over(p.row, g.out_h, g), columns = windows_over(p.column, g.out_w, g);
    float sum[N] = {};
    for (int i = rows.first; i <= rows.last; ++i)
      for (int j = columns.first; j <= columns.last; ++j) {
        const int64_t from = int64_t{(p.n * g.out_h + i) * g.out_w + j} * g.c + p.channel;
        const int tap = (p.row + g.pad - i * g.stride) * g.window + p.column + g.pad - j * g.stride;
        float lanes[N];
        load(dy + from, lanes);
        const Bytes<N> taps = load_bytes<N>(argmax + from);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += taps.lanes[k] == tap ? lanes[k] : 0.0f;
      }
    store(dx + p.offset, sum);
  }
}

/// One thread per image and vector of channels, in the order of the pixels.
template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    average_forward_kernel(unsigned count, int pixels, int c, const T* x, float* y) {
  const unsigned at = first_thread();
  if (at >= count) return;
  const Place p = place_of<N>(at, 1, 1, c);
  const T* from = x + int64_t{p.n} * pixels * c + p.channel;
  float sum[N] = {};
#pragma unroll 4
  for (int i = 0; i < pixels; ++i) {
    float lanes[N];
    load(from + int64_t{i} * c, lanes);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += lanes[k];
  }
#pragma unroll
  for (int k = 0; k < N; ++k) y[p.offset + k] = sum[k] / static_cast<float>(pixels);
}

template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    average_backward_kernel(unsigned count, int pixels, int c, const float* dy, T* dx) {
  for (unsigned at = first_thread(); at < count; at += all_threads()) {
    const Place p = place_of<N>(at, 1, pixels, c);
    float lanes[N];
#pragma unroll
    for (int k = 0; k < N; ++k) lanes[k] = dy[int64_t{p.n} * c + p.channel + k] / static_cast<float>(pixels);
    store(dx + p.offset, lanes);
  }
}

/// Threads for `elements` in vectors of N.
template <int N>
unsigned thread_count(int64_t elements) {
  if (elements / N > INT32_MAX) fail(ErrorKind::internal, "pooling of more than 2^31 vectors");
  return static_cast<unsigned>(elements / N);
}
unsigned blocks(unsigned threads) { return static_cast<unsigned>(ceil_div(threads, kThreads)); }

}  // namespace

void max_pool_forward(Context& context, const MaxPoolDesc& d, ConstTensorRef x, TensorRef y, TensorRef argmax) {
  const auto run = [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int N = decltype(lanes)::count;
    const unsigned count = thread_count<N>(d.y_shape().elements());
    launch(max_forward_kernel<N, T>, context.grid_for(blocks(count)), kThreads, 0, context.stream(), Geometry(d), count,
           x.as<T>(), y.as<T>(), argmax.as<uint8_t>());
  };
  with_lanes(d.dtype, d.c, run, x.data, y.data, argmax.data);
}

void max_pool_backward(Context& context, const MaxPoolDesc& d, ConstTensorRef dy, ConstTensorRef argmax, TensorRef dx) {
  const auto run = [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int N = decltype(lanes)::count;
    const unsigned count = thread_count<N>(d.x_shape().elements());
    launch(max_backward_kernel<N, T>, context.grid_for(blocks(count)), kThreads, 0, context.stream(), Geometry(d),
           count, dy.as<T>(), argmax.as<uint8_t>(), dx.as<T>());
  };
  with_lanes(d.dtype, d.c, run, dy.data, argmax.data, dx.data);
}

void average_pool_forward(Context& context, const AveragePoolDesc& d, ConstTensorRef x, TensorRef y) {
  const auto run = [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int N = decltype(lanes)::count;
    const unsigned count = thread_count<N>(d.n * d.c);
    launch(average_forward_kernel<N, T>, blocks(count), kThreads, 0, context.stream(), count,
           static_cast<int>(d.h * d.w), static_cast<int>(d.c), x.as<T>(), y.as<float>());
  };
  with_lanes(d.dtype, d.c, run, x.data);
}

void average_pool_backward(Context& context, const AveragePoolDesc& d, ConstTensorRef dy, TensorRef dx) {
  const auto run = [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int N = decltype(lanes)::count;
    const unsigned count = thread_count<N>(d.n * d.h * d.w * d.c);
    launch(average_backward_kernel<N, T>, context.grid_for(blocks(count)), kThreads, 0, context.stream(), count,
           static_cast<int>(d.h * d.w), static_cast<int>(d.c), dy.as<float>(), dx.as<T>());
  };
  with_lanes(d.dtype, d.c, run, dx.data);
}

}  // namespace dcl::cuda
