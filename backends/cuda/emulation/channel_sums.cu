#include "cuda/dispatch.h"
#include "cuda/emulation/channel_sums.h"

namespace dcl::cuda {
namespace {

constexpr int kThreads = 32;

template <class T>
__global__ void channel_sums_kernel(int64_t rows, int64_t channels, const T* y, float* sum, float* square_sum) {
  const int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= channels) return;
  double total = 0, squares = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const double value = static_cast<double>(to_float(y[row * channels + c]));
    total += value;
    squares += value * value;
  }
  sum[c] = static_cast<float>(total);
  square_sum[c] = static_cast<float>(squares);
}

}  // namespace

void channel_sums(Context& context, ConstTensorRef y, float* sum, float* square_sum) {
  const int64_t channels = y.shape[3];
  with_type(y.dtype, [&](auto type) {
    using T = decltype(type);
    launch(channel_sums_kernel<T>, static_cast<unsigned>(ceil_div(channels, kThreads)), kThreads, 0, context.stream(),
           y.shape.elements() / channels, channels, y.as<T>(), sum, square_sum);
  });
}

}  // namespace dcl::cuda
