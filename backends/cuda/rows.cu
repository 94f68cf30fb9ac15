// One warp per row, sums in double: the rows are the few hundred of the projection head or of a classifier, so latency
// counts and not bandwidth.
#include <cmath>

#include "cuda/reduce.h"
#include "cuda/rows.h"

namespace dcl::cuda {
namespace {

constexpr float kSmallestNorm = 1e-12f;  // eps of F.normalize
constexpr int kWarps = 4;                // of a block

/// The row of this warp, [0, rows) or beyond.
__device__ __forceinline__ int64_t warp_row() { return int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp; }

__device__ double warp_dot(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = lane(); i < count; i += kWarp) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return warp_sum(sum);
}

/// The largest value, the same in every lane; NaN is passed over.
__device__ float warp_max(const float* x, int64_t count) {
  float largest = x[0];
  for (int64_t i = lane(); i < count; i += kWarp) largest = x[i] > largest ? x[i] : largest;
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, largest, step);
    largest = other > largest ? other : largest;
  }
  return largest;
}

__global__ void normalize_kernel(const float* x, int64_t rows, int64_t dim, float* y, float* norms) {
  const int64_t row = warp_row();
  if (row >= rows) return;
  const float* from = x + row * dim;
  const float norm = static_cast<float>(sqrt(warp_dot(from, from, dim)));
  const float divisor = norm < kSmallestNorm ? kSmallestNorm : norm;  // NaN stays
  if (lane() == 0) norms[row] = divisor;
  for (int64_t i = lane(); i < dim; i += kWarp) y[row * dim + i] = from[i] / divisor;
}

__global__ void normalize_backward_kernel(const float* dy, const float* y, const float* norms, int64_t rows,
                                          int64_t dim, float* dx) {
  const int64_t row = warp_row();
  if (row >= rows) return;
  const float *gradient = dy + row * dim, *unit = y + row * dim;
  const float norm = norms[row];
  // A row below the smallest norm was divided by a constant.
  const float along = static_cast<float>(warp_dot(gradient, unit, dim));
  const float projection = norm == kSmallestNorm ? 0.0f : along;
  for (int64_t i = lane(); i < dim; i += kWarp) dx[row * dim + i] = __fmaf_rn(-projection, unit[i], gradient[i]) / norm;
}

__global__ void cross_entropy_kernel(const float* logits, const int32_t* labels, int64_t rows, int64_t classes,
                                     float* loss, float* dlogits) {
  const int64_t row = warp_row();
  if (row >= rows) return;
  const float* x = logits + row * classes;
  const int64_t label = labels[row];
  const bool known = label >= 0 && label < classes;
  const float largest = warp_max(x, classes);
  double all = 0, others = 0;  // softmax - 1 without its cancellation
  for (int64_t i = lane(); i < classes; i += kWarp) {
    const double numerator = static_cast<double>(expf(x[i] - largest));
    all += numerator;
    others += i == label ? 0.0 : numerator;
  }
  all = warp_sum(all);
  others = warp_sum(others);
  const double nan = static_cast<double>(NAN);
  if (lane() == 0)
    loss[row] =
        static_cast<float>(known ? log(all) - (static_cast<double>(x[label]) - static_cast<double>(largest)) : nan);
  if (!dlogits) return;
  const double scale = known ? 1 / (all * static_cast<double>(rows)) : nan;
  for (int64_t i = lane(); i < classes; i += kWarp) {
    const double slope = i == label ? -others : static_cast<double>(expf(x[i] - largest));
    dlogits[row * classes + i] = static_cast<float>(slope * scale);
  }
}

template <class Kernel, class... Arguments>
void launch_rows(Context& context, int64_t rows, Kernel kernel, Arguments&&... arguments) {
  if (rows == 0) return;
  launch(kernel, static_cast<unsigned>(ceil_div(rows, kWarps)), kWarps * kWarp, 0, context.stream(),
         std::forward<Arguments>(arguments)...);
}

}  // namespace

void l2_normalize_forward(Context& context, ConstTensorRef x, TensorRef y, TensorRef norms) {
  launch_rows(context, x.shape[0], normalize_kernel, x.as<float>(), x.shape[0], x.shape[1], y.as<float>(),
              norms.as<float>());
}

void l2_normalize_backward(Context& context, ConstTensorRef dy, ConstTensorRef y, ConstTensorRef norms, TensorRef dx) {
  launch_rows(context, y.shape[0], normalize_backward_kernel, dy.as<float>(), y.as<float>(), norms.as<float>(),
              y.shape[0], y.shape[1], dx.as<float>());
}

void cross_entropy(Context& context, const CrossEntropyDesc& d, ConstTensorRef logits, ConstTensorRef labels,
                   TensorRef loss, TensorRef dlogits) {
  launch_rows(context, d.rows, cross_entropy_kernel, logits.as<float>(), labels.as<int32_t>(), d.rows, d.classes,
              loss.as<float>(), dlogits ? dlogits.as<float>() : nullptr);
}

}  // namespace dcl::cuda
