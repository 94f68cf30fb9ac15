#include <algorithm>
#include <numeric>
#include <vector>

#include "cuda/conv_samples.h"
#include "cuda/conv_terms.h"
#include "cuda/dispatch.h"
#include "cuda/reduce.h"

namespace dcl::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kSamples = 8192, kSamplesOfFilters = 1024;  // the latter are long sums
constexpr uint32_t kOneIn = 8;                                // numbers that are not 0

/// Bits that look random, of any number (the finalizer of MurmurHash3).
__device__ __forceinline__ uint64_t scrambled(uint64_t x) {
  x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
  x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
  return x ^ x >> 33;
}

/// Both ends, and random places between them.
__device__ __forceinline__ int64_t place_of(int64_t sample, int64_t places) {
  if (sample < 2) return sample * (places - 1);
  return static_cast<int64_t>(scrambled(static_cast<uint64_t>(sample)) % static_cast<uint64_t>(places));
}

template <class T>
__global__ void fill_kernel(T* values, int64_t count, Operands operands, uint32_t seed) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= count) return;
  const uint64_t bits = scrambled(static_cast<uint64_t>(seed) << 40 ^ static_cast<uint64_t>(at));
  const float fraction = static_cast<float>(static_cast<int32_t>(bits >> 32)) * 0x1p-31f;
  const float integer = bits % kOneIn != 0 ? 0.0f : fraction < 0 ? -1.0f : 1.0f;
  values[at] = from_float<T>(operands == Operands::integers ? integer : fraction);
}

/// A convolution's sum, and how large the sum of such terms with random signs would be.
struct Judged {
  double value = 0, squares = 0;
  __device__ void operator()(double term) { value += term, squares += term * term; }
};

/// Whether a result is what it should be with `rest` added, and, if `clipped`, what is negative made 0. Of whole
/// numbers it is that, rounded once; of others it may be rounded twice, and its terms added up in f32 in any order:
/// adding them up in bf16 would cost 2^-10 sqrt(terms) of what random signs leave of them. Nothing that is no number is
/// right.
template <class T>
__device__ __forceinline__ bool is_right(T result, const Judged& sum, double rest, bool clipped, Operands operands) {
  const double all = sum.value + rest, value = clipped && all < 0 ? 0 : all;
  if (operands == Operands::integers) return to_float(result) == to_float(from_float<T>(static_cast<float>(value)));
  const double rounding = (sizeof(T) == 2 ? 0x1p-8 : 0x1p-14) * (fabs(sum.value) + fabs(all));
  return fabs(static_cast<double>(to_float(result)) - value) <= rounding + 0x1p-7 * sqrt(sum.squares);
}

template <class T>
__global__ void check_forward_kernel(ConvDesc d, int64_t out_h, int64_t out_w, const T* x, const T* filter,
                                     const float* bias, const T* residual, bool relu, const T* y, int64_t places,
                                     Operands operands, int32_t* wrong) {
  const int64_t sample = int64_t{blockIdx.x} * kThreads + threadIdx.x, at = place_of(sample, places);
  Judged sum;
  forward_terms(d, out_h, out_w, x, filter, at, sum);
  double rest = 0;
  if (bias) rest += static_cast<double>(bias[at % d.k]);
  if (residual) rest += static_cast<double>(to_float(residual[at]));
  wrong[sample] = !is_right(y[at], sum, rest, relu, operands);
}

template <class T>
__global__ void check_data_kernel(ConvDesc d, int64_t out_h, int64_t out_w, const T* dy, const T* filter,
                                  const T* before, const T* dx, int64_t places, Operands operands, int32_t* wrong) {
  const int64_t sample = int64_t{blockIdx.x} * kThreads + threadIdx.x, at = place_of(sample, places);
  Judged sum;
  data_terms(d, out_h, out_w, dy, filter, at, sum);
  wrong[sample] = !is_right(dx[at], sum, before ? static_cast<double>(to_float(before[at])) : 0, false, operands);
}

/// A block for a sample, its threads for its images.
template <class T>
__global__ void check_filter_kernel(ConvDesc d, int64_t out_h, int64_t out_w, const T* x, const T* dy, const T* dfilter,
                                    int64_t places, Operands operands, int32_t* wrong) {
  const int64_t sample = blockIdx.x, at = place_of(sample, places);
  Judged own;
  filter_terms(d, out_h, out_w, x, dy, at, own, int64_t{threadIdx.x}, kThreads);
  const Judged sum{block_sum<kThreads>(own.value), block_sum<kThreads>(own.squares)};
  if (threadIdx.x == 0) wrong[sample] = !is_right(dfilter[at], sum, 0, false, operands);
}

__device__ __forceinline__ uint32_t bits_of(float x) { return __float_as_uint(x); }
__device__ __forceinline__ uint32_t bits_of(bf16 x) { return x.bits; }

/// Of a block's share each.
template <class T>
__global__ void differing_kernel(const T* a, const T* b, int64_t count, int64_t* differing) {
  int64_t own = 0;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += int64_t{gridDim.x} * kThreads)
    own += bits_of(a[i]) != bits_of(b[i]);
  const int64_t all = block_sum<kThreads>(own);
  if (threadIdx.x == 0) differing[blockIdx.x] = all;
}

template <class T>
std::vector<T> host_copy(Context& context, const T* data, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  copy_to_host(values.data(), data, values.size() * sizeof(T), context.stream());
  return values;
}

}  // namespace

void fill_operand(Context& context, TensorRef values, Operands operands, uint32_t seed) {
  const int64_t count = values.shape.elements();
  with_type(values.dtype, [&](auto type) {
    using T = decltype(type);
    launch(fill_kernel<T>, static_cast<unsigned>(ceil_div(count, kThreads)), kThreads, 0, context.stream(),
           values.as<T>(), count, operands, seed);
  });
}

int64_t count_wrong(Context& context, const ConvPattern& p, const ConvOperands& o, const void* before,
                    Operands operands) {
  const ConvDesc& d = p.conv;
  const bool filters = p.pass == ConvPass::backward_filter;
  const int64_t samples = filters ? kSamplesOfFilters : kSamples;
  auto* wrong = context.scratch<int32_t>(samples);
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    const auto at = [](const void* data) { return static_cast<const T*>(data); };
    const auto blocks = static_cast<unsigned>(filters ? samples : samples / kThreads);
    const auto check = [&](auto kernel, auto... arguments) {
      launch(kernel, blocks, kThreads, 0, context.stream(), d, d.out_h(), d.out_w(), arguments..., operands, wrong);
    };
    switch (p.pass) {
      case ConvPass::forward:
        return check(check_forward_kernel<T>, at(o.x), at(o.filter),
                     static_cast<const float*>(p.bias ? o.bias : nullptr), at(p.residual ? o.residual : nullptr),
                     p.relu, at(o.y), d.y_shape().elements());
      case ConvPass::backward_data:
        return check(check_data_kernel<T>, at(o.y), at(o.filter), at(p.add ? before : nullptr), at(o.x),
                     d.x_shape().elements());
      case ConvPass::backward_filter:
        return check(check_filter_kernel<T>, at(o.x), at(o.y), at(o.filter), d.filter_shape().elements());
    }
  });
  const std::vector<int32_t> flags = host_copy(context, wrong, samples);
  return std::count(flags.begin(), flags.end(), 1);
}

int64_t count_differing(Context& context, ConstTensorRef a, ConstTensorRef b) {
  const int64_t count = a.shape.elements();
  const unsigned blocks = context.grid_for(ceil_div(count, kThreads));
  auto* differing = context.scratch<int64_t>(blocks);
  with_type(a.dtype, [&](auto type) {
    using T = decltype(type);
    launch(differing_kernel<T>, blocks, kThreads, 0, context.stream(), a.as<T>(), b.as<T>(), count, differing);
  });
  const std::vector<int64_t> parts = host_copy(context, differing, blocks);
  return std::accumulate(parts.begin(), parts.end(), int64_t{0});
}

}  // namespace dcl::cuda
