// Blur, and from bytes to the normalised batch.
#include "eigen/kernels/augment.h"
#include "math/pixel.h"
#include "math/pixel_blur.h"

namespace dcl::kernels::DCL_ISA {
namespace {

/// One plane through the horizontal pass into job.rows, in 1/256.
void blur_rows(const BlurJob& job, const uint8_t* plane, int32_t center) {
  const int64_t w = job.w, radius = job.radius;
  for (int64_t y = 0; y < job.h; ++y) {
    const uint8_t* from = plane + y * w;
    uint16_t* to = job.rows + y * w;
    uint16_t* middle = job.padded_row + radius;
    for (int64_t x = 0; x < w; ++x) middle[x] = from[x];
    for (int64_t d = 1; d <= radius; ++d) {
      middle[-d] = from[reflect_101(-d, w)];
      middle[w - 1 + d] = from[reflect_101(w - 1 + d, w)];
    }
    for (int64_t x = 0; x < w; ++x) to[x] = static_cast<uint16_t>(center * middle[x]);
    for (int64_t d = 1; d <= radius; ++d) {
      const int32_t weight = job.weights[d - 1];
      for (int64_t x = 0; x < w; ++x) to[x] = static_cast<uint16_t>(to[x] + weight * (middle[x - d] + middle[x + d]));
    }
  }
}

/// The vertical pass from job.rows, rounded into the plane. Sums reach 255 * 2^16 and fit int32.
void blur_columns(const BlurJob& job, uint8_t* plane, int32_t center) {
  constexpr int64_t kBlock = 64;
  const int64_t h = job.h, w = job.w;
  for (int64_t y = 0; y < h; ++y) {
    for (int64_t begin = 0; begin < w; begin += kBlock) {
      const int64_t count = w - begin < kBlock ? w - begin : kBlock;
      const uint16_t* middle = job.rows + y * w + begin;
      int32_t sum[kBlock];
      for (int64_t x = 0; x < count; ++x) sum[x] = center * middle[x];
      for (int64_t d = 1; d <= job.radius; ++d) {
        const uint16_t* above = job.rows + reflect_101(y - d, h) * w + begin;
        const uint16_t* below = job.rows + reflect_101(y + d, h) * w + begin;
        const int32_t weight = job.weights[d - 1];
        for (int64_t x = 0; x < count; ++x) sum[x] += weight * (above[x] + below[x]);
      }
      uint8_t* to = plane + y * w + begin;
      for (int64_t x = 0; x < count; ++x) to[x] = static_cast<uint8_t>(blur_round(sum[x]));
    }
  }
}

void blur(const BlurJob& job) {
  int32_t center = 256;
  for (int d = 0; d < job.radius; ++d) center -= 2 * job.weights[d];
  for (int c = 0; c < 3; ++c) {
    uint8_t* plane = job.planes + c * job.h * job.w;
    blur_rows(job, plane, center);
    blur_columns(job, plane, center);
  }
}

void fill_table_f32(const float* mean, const float* std, float* table) {
  for (int c = 0; c < 3; ++c)
    for (int32_t value = 0; value < 256; ++value) table[c * 256 + value] = normalize(value, mean[c], std[c]);
}

void fill_table_bf16(const float* mean, const float* std, bf16* table) {
  for (int c = 0; c < 3; ++c)
    for (int32_t value = 0; value < 256; ++value)
      table[c * 256 + value].bits = bf16::round_to_bits(normalize(value, mean[c], std[c]));
}

template <class T>
void from_planes(const uint8_t* planes, int64_t pixels, const T* table, T* out) {
  const uint8_t *r = planes, *g = planes + pixels, *b = planes + 2 * pixels;
  for (int64_t i = 0; i < pixels; ++i) {
    out[3 * i] = table[r[i]];
    out[3 * i + 1] = table[256 + g[i]];
    out[3 * i + 2] = table[512 + b[i]];
  }
}

template <class T>
void from_pixels(const uint8_t* image, int64_t pixels, const T* table, T* out) {
  for (int64_t i = 0; i < 3 * pixels; i += 3) {
    out[i] = table[image[i]];
    out[i + 1] = table[256 + image[i + 1]];
    out[i + 2] = table[512 + image[i + 2]];
  }
}

}  // namespace

extern const OutputTable augment_output_table = {blur,
                                                 fill_table_f32,
                                                 fill_table_bf16,
                                                 from_planes<float>,
                                                 from_planes<bf16>,
                                                 from_pixels<float>,
                                                 from_pixels<bf16>};

}  // namespace dcl::kernels::DCL_ISA
