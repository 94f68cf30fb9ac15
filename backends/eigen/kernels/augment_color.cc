// Colour operators on planes: plain loops that the compiler vectorises.
#include "eigen/kernels/augment.h"
#include "math/pixel.h"
#include "math/pixel_hsv.h"

namespace dcl::kernels::DCL_ISA {
namespace {

void brightness(uint8_t* planes, int64_t pixels, float factor) {
#pragma omp simd
  for (int64_t i = 0; i < 3 * pixels; ++i) planes[i] = static_cast<uint8_t>(blend(0, planes[i], factor));
}

int64_t luma_sum(const uint8_t* planes, int64_t pixels, int32_t rounding) {
  const uint8_t *r = planes, *g = planes + pixels, *b = planes + 2 * pixels;
  constexpr int64_t kBlock = 1 << 16;  // sums of a block fit 32 bits
  int64_t total = 0;
  for (int64_t begin = 0; begin < pixels; begin += kBlock) {
    const int64_t end = begin + kBlock < pixels ? begin + kBlock : pixels;
    int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += luma(r[i], g[i], b[i], rounding);
    total += sum;
  }
  return total;
}

void contrast(uint8_t* planes, int64_t pixels, float factor, int32_t rounding) {
  const int32_t level = contrast_level(luma_sum(planes, pixels, rounding), pixels);
#pragma omp simd
  for (int64_t i = 0; i < 3 * pixels; ++i) planes[i] = static_cast<uint8_t>(blend(level, planes[i], factor));
}

void saturation(uint8_t* planes, int64_t pixels, float factor, int32_t rounding) {
  uint8_t *r = planes, *g = planes + pixels, *b = planes + 2 * pixels;
#pragma omp simd
  for (int64_t i = 0; i < pixels; ++i) {
    const int32_t level = luma(r[i], g[i], b[i], rounding);
    r[i] = static_cast<uint8_t>(blend(level, r[i], factor));
    g[i] = static_cast<uint8_t>(blend(level, g[i], factor));
    b[i] = static_cast<uint8_t>(blend(level, b[i], factor));
  }
}

/// In blocks of int32: conversions inside the loop would make the compiler choose vectors of bytes, and spill.
void hue(uint8_t* planes, int64_t pixels, int32_t shift) {
  constexpr int64_t kBlock = 256;
  int32_t r[kBlock], g[kBlock], b[kBlock];
  for (int64_t begin = 0; begin < pixels; begin += kBlock) {
    const int64_t count = pixels - begin < kBlock ? pixels - begin : kBlock;
    uint8_t *to_r = planes + begin, *to_g = to_r + pixels, *to_b = to_g + pixels;
    for (int64_t i = 0; i < count; ++i) {
      r[i] = to_r[i];
      g[i] = to_g[i];
      b[i] = to_b[i];
    }
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const Rgb turned = shift_hue({r[i], g[i], b[i]}, shift);
      r[i] = turned.r;
      g[i] = turned.g;
      b[i] = turned.b;
    }
    for (int64_t i = 0; i < count; ++i) to_r[i] = static_cast<uint8_t>(r[i]);
    for (int64_t i = 0; i < count; ++i) to_g[i] = static_cast<uint8_t>(g[i]);
    for (int64_t i = 0; i < count; ++i) to_b[i] = static_cast<uint8_t>(b[i]);
  }
}

void gray(uint8_t* planes, int64_t pixels, int32_t rounding) {
  uint8_t *r = planes, *g = planes + pixels, *b = planes + 2 * pixels;
#pragma omp simd
  for (int64_t i = 0; i < pixels; ++i) {
    const auto level = static_cast<uint8_t>(luma(r[i], g[i], b[i], rounding));
    r[i] = level;
    g[i] = level;
    b[i] = level;
  }
}

}  // namespace

extern const ColorTable augment_color_table = {brightness, contrast, saturation, hue, gray};

}  // namespace dcl::kernels::DCL_ISA
