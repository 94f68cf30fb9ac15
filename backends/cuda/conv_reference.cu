#include "cuda/conv_reference.h"
#include "cuda/dispatch.h"

namespace dcl::cuda::reference {
namespace {

constexpr int kThreads = 128;

/// Calls the kernel with one thread per result.
template <class Kernel, class... Arguments>
void launch_each(Context& context, int64_t results, Kernel kernel, Arguments&&... arguments) {
  launch(kernel, static_cast<unsigned>(ceil_div(results, kThreads)), kThreads, 0, context.stream(),
         std::forward<Arguments>(arguments)...);
}

__device__ __forceinline__ int64_t thread_index() { return int64_t{blockIdx.x} * kThreads + threadIdx.x; }

/// Sum over the window and input channels of output pixel (n, i, j), channel k.
template <class T>
__device__ double window_sum(const ConvDesc& d, const T* x, const float* filter, int64_t n, int64_t i, int64_t j,
                             int64_t k) {
  double sum = 0;
  for (int64_t r = 0; r < d.r; ++r)
    for (int64_t s = 0; s < d.s; ++s) {
      const int64_t row = i * d.stride - d.pad + r, column = j * d.stride - d.pad + s;
      if (row < 0 || row >= d.h || column < 0 || column >= d.w) continue;
      const T* pixel = x + ((n * d.h + row) * d.w + column) * d.c;
      const float* weights = filter + ((k * d.r + r) * d.s + s) * d.c;
      for (int64_t c = 0; c < d.c; ++c)
        sum += static_cast<double>(to_float(pixel[c])) * static_cast<double>(weights[c]);
    }
  return sum;
}

template <class T>
__global__ void forward_kernel(ConvDesc d, int64_t out_h, int64_t out_w, const T* x, const float* filter,
                               const float* bias, const T* residual, bool relu, T* y) {
  const int64_t at = thread_index();
  if (at >= d.n * out_h * out_w * d.k) return;
  const int64_t k = at % d.k, j = at / d.k % out_w, i = at / d.k / out_w % out_h, n = at / d.k / out_w / out_h;
  double value = window_sum(d, x, filter, n, i, j, k);
  if (bias) value += static_cast<double>(bias[k]);
  if (residual) value += static_cast<double>(to_float(residual[at]));
  if (relu && value < 0) value = 0;
  y[at] = from_float<T>(static_cast<float>(value));
}

template <class T>
__global__ void backward_data_kernel(ConvDesc d, int64_t out_h, int64_t out_w, const T* dy, const float* filter, T* dx,
                                     bool add) {
  const int64_t at = thread_index();
  if (at >= d.n * d.h * d.w * d.c) return;
  const int64_t c = at % d.c, column = at / d.c % d.w, row = at / d.c / d.w % d.h, n = at / d.c / d.w / d.h;
  double sum = add ? static_cast<double>(to_float(dx[at])) : 0;
  for (int64_t r = 0; r < d.r; ++r)
    for (int64_t s = 0; s < d.s; ++s) {
      const int64_t top = row + d.pad - r, left = column + d.pad - s;  // stride times the output pixel
      if (top < 0 || left < 0 || top % d.stride != 0 || left % d.stride != 0) continue;
      const int64_t i = top / d.stride, j = left / d.stride;
      if (i >= out_h || j >= out_w) continue;
      const T* gradient = dy + ((n * out_h + i) * out_w + j) * d.k;
      for (int64_t k = 0; k < d.k; ++k)
        sum += static_cast<double>(to_float(gradient[k])) *
               static_cast<double>(filter[((k * d.r + r) * d.s + s) * d.c + c]);
    }
  dx[at] = from_float<T>(static_cast<float>(sum));
}

template <class T>
__global__ void backward_filter_kernel(ConvDesc d, int64_t out_h, int64_t out_w, const T* x, const T* dy,
                                       float* dfilter, bool add) {
  const int64_t at = thread_index();
  if (at >= d.k * d.r * d.s * d.c) return;
  const int64_t c = at % d.c, s = at / d.c % d.s, r = at / d.c / d.s % d.r, k = at / d.c / d.s / d.r;
  double sum = add ? static_cast<double>(dfilter[at]) : 0;
  for (int64_t n = 0; n < d.n; ++n)
    for (int64_t i = 0; i < out_h; ++i)
      for (int64_t j = 0; j < out_w; ++j) {
        const int64_t row = i * d.stride - d.pad + r, column = j * d.stride - d.pad + s;
        if (row < 0 || row >= d.h || column < 0 || column >= d.w) continue;
        sum += static_cast<double>(to_float(x[((n * d.h + row) * d.w + column) * d.c + c])) *
               static_cast<double>(to_float(dy[((n * out_h + i) * out_w + j) * d.k + k]));
      }
  dfilter[at] = static_cast<float>(sum);
}

}  // namespace

void fused_conv(Context& context, const FusedConvDesc& fused, ConstTensorRef x, ConstTensorRef filter,
                ConstTensorRef bias, ConstTensorRef residual, TensorRef y) {
  const ConvDesc& d = fused.conv;
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    launch_each(context, d.y_shape().elements(), forward_kernel<T>, d, d.out_h(), d.out_w(), x.as<T>(),
                filter.as<float>(), bias ? bias.as<float>() : nullptr, residual ? residual.as<T>() : nullptr,
                fused.relu, y.as<T>());
  });
}

void conv_forward(Context& context, const ConvDesc& d, ConstTensorRef x, ConstTensorRef filter, TensorRef y) {
  fused_conv(context, {d, false, false}, x, filter, {}, {}, y);
}

void conv_backward_data(Context& context, const ConvDesc& d, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx,
                        Accum accum) {
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    launch_each(context, d.x_shape().elements(), backward_data_kernel<T>, d, d.out_h(), d.out_w(), dy.as<T>(),
                filter.as<float>(), dx.as<T>(), accum == Accum::add);
  });
}

void conv_backward_filter(Context& context, const ConvDesc& d, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter,
                          Accum accum) {
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    launch_each(context, d.filter_shape().elements(), backward_filter_kernel<T>, d, d.out_h(), d.out_w(), x.as<T>(),
                dy.as<T>(), dfilter.as<float>(), accum == Accum::add);
  });
}

}  // namespace dcl::cuda::reference
