// A view is a byte image [h, w, 3] in shared memory, or, when it is too large, in the memory of its own result, and
// every operator changes it in place. Pixel p belongs to thread p mod kAugmentThreads between barriers.
#include "cuda/augment.h"
#include "cuda/augment_resize.h"
#include "cuda/vector.h"
#include "math/pixel.h"
#include "math/pixel_blur.h"
#include "math/pixel_hsv.h"

namespace dcl::cuda {
namespace {

/// Larger views go through global memory: below, at least two blocks share a Hopper's multiprocessor.
constexpr int64_t kLargestInShared = 96 << 10;
constexpr int64_t kDeclaredShared = 16 << 10;
static_assert(sizeof(ViewResize) + kAugmentThreads * sizeof(int64_t) <= kDeclaredShared);

/// One channel of the blur between its passes follows the image.
int64_t image_bytes(int64_t pixels) { return round_up(3 * pixels, 2) + 2 * pixels; }

struct View {
  uint8_t* image;  ///< [h, w, 3]
  int32_t h, w;

  __device__ int32_t pixels() const { return h * w; }
  __device__ uint16_t* channel() const { return reinterpret_cast<uint16_t*>(image + (3 * pixels() + 1) / 2 * 2); }

  /// change(r, g, b) for every pixel, by the thread it belongs to.
  template <class Change>
  __device__ void for_each_pixel(Change&& change) const {
    for (int32_t p = static_cast<int32_t>(threadIdx.x); p < pixels(); p += kAugmentThreads) {
      uint8_t* pixel = image + 3 * p;
      const Rgb changed = change(Rgb{pixel[0], pixel[1], pixel[2]});
      pixel[0] = static_cast<uint8_t>(changed.r);
      pixel[1] = static_cast<uint8_t>(changed.g);
      pixel[2] = static_cast<uint8_t>(changed.b);
    }
  }
};

__device__ Rgb blend(Rgb from, Rgb to, float factor) {
  return {dcl::blend(from.r, to.r, factor), dcl::blend(from.g, to.g, factor), dcl::blend(from.b, to.b, factor)};
}

/// Sum of luma over the image, for every thread.
__device__ int64_t luma_sum(const View& view, int32_t rounding) {
  DCL_SHARED(long long, sums, [kAugmentThreads]);
  long long sum = 0;
  for (int32_t p = static_cast<int32_t>(threadIdx.x); p < view.pixels(); p += kAugmentThreads)
    sum += luma(view.image[3 * p], view.image[3 * p + 1], view.image[3 * p + 2], rounding);
  sums[threadIdx.x] = sum;
  for (unsigned half = kAugmentThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  __syncthreads();
  sum = sums[0];
  __syncthreads();  // before the next call writes
  return sum;
}

__device__ void jitter(const View& view, const ViewParams& v, int32_t rounding) {
  for (int i = 0; i < v.jitter_count; ++i) {
    switch (v.jitter_order[i]) {
      case JitterOp::brightness:
        view.for_each_pixel([&](Rgb c) { return blend({0, 0, 0}, c, v.brightness); });
        break;
      case JitterOp::contrast: {
        const int32_t level = contrast_level(luma_sum(view, rounding), view.pixels());
        view.for_each_pixel([&](Rgb c) { return blend({level, level, level}, c, v.contrast); });
        break;
      }
      case JitterOp::saturation:
        view.for_each_pixel([&](Rgb c) {
          const int32_t level = luma(c.r, c.g, c.b, rounding);
          return blend({level, level, level}, c, v.saturation);
        });
        break;
      case JitterOp::hue:
        view.for_each_pixel([&](Rgb c) { return shift_hue(c, v.hue_shift); });
        break;
    }
  }
}

__device__ void blur(const View& view, const ViewParams& v) {
  const int32_t w = view.w, h = view.h;
  uint16_t* rows = view.channel();
  int32_t center = 256;
  for (int d = 0; d < v.blur_radius; ++d) center -= 2 * v.blur_weights[d];
  for (int c = 0; c < 3; ++c) {
    __syncthreads();
    for (int32_t p = static_cast<int32_t>(threadIdx.x); p < view.pixels(); p += kAugmentThreads) {
      const int32_t y = p / w, x = p - y * w;
      const uint8_t* row = view.image + 3 * (y * w) + c;
      int32_t sum = center * row[3 * x];
      for (int d = 1; d <= v.blur_radius; ++d)
        sum += v.blur_weights[d - 1] * (row[3 * reflect_101(x - d, w)] + row[3 * reflect_101(x + d, w)]);
      rows[p] = static_cast<uint16_t>(sum);
    }
    __syncthreads();
    for (int32_t p = static_cast<int32_t>(threadIdx.x); p < view.pixels(); p += kAugmentThreads) {
      const int32_t y = p / w, x = p - y * w;
      int32_t sum = center * rows[p];
      for (int d = 1; d <= v.blur_radius; ++d)
        sum += v.blur_weights[d - 1] * (rows[reflect_101(y - d, h) * w + x] + rows[reflect_101(y + d, h) * w + x]);
      view.image[3 * p + c] = static_cast<uint8_t>(blur_round(sum));
    }
  }
}

/// The image in shared memory, normalised into `out`.
template <class T>
__device__ void write(const AugmentDesc& d, const View& view, T* out) {
  __syncthreads();
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < 3 * view.pixels(); i += kAugmentThreads)
    out[i] = from_float<T>(normalize(view.image[i], d.normalization.mean[i % 3], d.normalization.std[i % 3]));
}

/// The image at the start of `out`, normalised in place: from the end, since a value takes more room than its byte.
template <class T>
__device__ void write_in_place(const AugmentDesc& d, const View& view, T* out) {
  for (int32_t end = 3 * view.pixels(); end > 0; end -= kAugmentThreads) {
    __syncthreads();
    const int32_t i = end - 1 - static_cast<int32_t>(threadIdx.x);
    const int32_t byte = i >= 0 ? view.image[i] : 0;
    __syncthreads();
    if (i >= 0) out[i] = from_float<T>(normalize(byte, d.normalization.mean[i % 3], d.normalization.std[i % 3]));
  }
}

/// Blocks on a multiprocessor, as far as registers go: four make 512 views one wave of a Hopper. For newer ones the
/// compiler needs a few more than the 64 registers this leaves.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int kAugmentBlocks = 3;
#else
constexpr int kAugmentBlocks = 4;
#endif

template <class T, bool kInShared>
__global__ void __launch_bounds__(kAugmentThreads, kInShared ? kAugmentBlocks : 2)
    augment_kernel(const __grid_constant__ AugmentDesc d, const uint8_t* pool, const ViewParams* views, T* out) {
  DCL_SHARED(ViewResize, resize, [1]);
  const ViewParams& v = views[blockIdx.x];
  out += blockIdx.x * (3 * d.h * d.w);
  uint8_t* image = kInShared ? dynamic_shared<uint8_t>() : reinterpret_cast<uint8_t*>(out);
  const View view{image, static_cast<int32_t>(d.h), static_cast<int32_t>(d.w)};
  const int32_t rounding = luma_rounding(d.luma);
  resize_view(d, pool, v, resize[0], image);
  __syncthreads();
  jitter(view, v, rounding);
  if (v.gray)
    view.for_each_pixel([&](Rgb c) {
      const int32_t level = luma(c.r, c.g, c.b, rounding);
      return Rgb{level, level, level};
    });
  if (v.blur_radius > 0) blur(view, v);
  if constexpr (kInShared)
    write(d, view, out);
  else
    write_in_place(d, view, out);
}

template <class T>
void make_views(Context& context, const AugmentDesc& d, const uint8_t* pool, const ViewParams* views, int64_t count,
                T* out) {
  if (count == 0) return;
  const auto blocks = static_cast<unsigned>(count);
  const int64_t bytes = image_bytes(d.h * d.w);
  if (bytes <= min(kLargestInShared, static_cast<int64_t>(context.device().shared_memory) - kDeclaredShared))
    launch(augment_kernel<T, true>, blocks, kAugmentThreads, static_cast<size_t>(bytes), context.stream(), d, pool,
           views, out);
  else
    launch(augment_kernel<T, false>, blocks, kAugmentThreads, 0, context.stream(), d, pool, views, out);
}

}  // namespace

void augment(Context& context, const AugmentDesc& d, ConstTensorRef pool, ConstTensorRef views, TensorRef out) {
  const auto* params = static_cast<const ViewParams*>(views.data);
  const int64_t count = views.shape[0];
  if (out.dtype == DType::bf16)
    make_views(context, d, pool.as<uint8_t>(), params, count, out.as<bf16>());
  else
    make_views(context, d, pool.as<uint8_t>(), params, count, out.as<float>());
}

}  // namespace dcl::cuda
