#include "cuda/conv_reference.h"
#include "cuda/conv_terms.h"
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

template <class T>
__global__ void forward_kernel(ConvDesc d, int64_t out_h, int64_t out_w, const T* x, const float* filter,
                               const float* bias, const T* residual, bool relu, T* y) {
  const int64_t at = thread_index();
  if (at >= d.n * out_h * out_w * d.k) return;
  Total total;
  forward_terms(d, out_h, out_w, x, filter, at, total);
  double value = total.value;
  if (bias) value += static_cast<double>(bias[at % d.k]);
  if (residual) value += static_cast<double>(to_float(residual[at]));
  if (relu && value < 0) value = 0;
  y[at] = from_float<T>(static_cast<float>(value));
}

template <class T>
__global__ void backward_data_kernel(ConvDesc d, int64_t out_h, int64_t out_w, const T* dy, const float* filter, T* dx,
                                     bool add) {
  const int64_t at = thread_index();
  if (at >= d.n * d.h * d.w * d.c) return;
  Total total;
  if (add) total(static_cast<double>(to_float(dx[at])));
  data_terms(d, out_h, out_w, dy, filter, at, total);
  dx[at] = from_float<T>(static_cast<float>(total.value));
}

template <class T>
__global__ void backward_filter_kernel(ConvDesc d, int64_t out_h, int64_t out_w, const T* x, const T* dy,
                                       float* dfilter, bool add) {
  const int64_t at = thread_index();
  if (at >= d.k * d.r * d.s * d.c) return;
  Total total;
  if (add) total(static_cast<double>(dfilter[at]));
  filter_terms(d, out_h, out_w, x, dy, at, total);
  dfilter[at] = static_cast<float>(total.value);
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
