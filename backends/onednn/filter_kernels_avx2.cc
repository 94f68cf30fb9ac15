// Built with AVX2 and FMA; called only after the processor was asked (filter_kernels.cc).
// No inline function of the standard library may be emitted from here: another file might be given this copy of it.
#include <immintrin.h>

#include "onednn/filter_kernels.h"

namespace dcl::onednn::avx2 {
namespace {

#define DCL_INLINE __attribute__((always_inline)) inline

// 12 sums, two vectors of x and a broadcast of dy: 15 of 16 registers, and enough sums for the latency of two FMA
// units.
constexpr int kXLanes = 16, kYLanes = 6;

/// The first `lanes` of eight.
DCL_INLINE __m256i mask_of(int64_t lanes) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(lanes)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

void multiply(const PanelWalk& walk, const uint32_t* x, const uint32_t* y, const FilterTile& tile,
              const Prefetch& prefetch) {
  const char* ahead = prefetch.begin;
  __m256 sum[kYLanes][2];
#pragma GCC unroll 6
  for (int k = 0; k < kYLanes; ++k) sum[k][0] = sum[k][1] = _mm256_setzero_ps();
  for (int64_t image = 0; image < walk.images; ++image)
    for (int64_t row = 0; row < walk.rows; ++row) {
      const auto* xp = reinterpret_cast<const float*>(x + image * walk.x_image + row * walk.x_row);
      const auto* yp = reinterpret_cast<const float*>(y + image * walk.y_image + row * walk.y_row);
      for (int64_t step = 0; step < walk.steps; ++step, xp += kXLanes, yp += kYLanes) {
        if (ahead < prefetch.end) {
          _mm_prefetch(ahead, _MM_HINT_T1);
          ahead += 64;
        }
        const __m256 x0 = _mm256_loadu_ps(xp), x1 = _mm256_loadu_ps(xp + 8);
#pragma GCC unroll 6
        for (int k = 0; k < kYLanes; ++k) {
          const __m256 value = _mm256_broadcast_ss(yp + k);
          sum[k][0] = _mm256_fmadd_ps(x0, value, sum[k][0]);
          sum[k][1] = _mm256_fmadd_ps(x1, value, sum[k][1]);
        }
      }
    }
  const __m256i low = mask_of(tile.columns), high = mask_of(tile.columns - 8);
#pragma GCC unroll 6
  for (int k = 0; k < kYLanes; ++k) {
    if (k >= tile.rows) break;
    float* to = tile.data + k * tile.row_stride;
    if (tile.add) {
      sum[k][0] = _mm256_add_ps(sum[k][0], _mm256_maskload_ps(to, low));
      sum[k][1] = _mm256_add_ps(sum[k][1], _mm256_maskload_ps(to + 8, high));
    }
    _mm256_maskstore_ps(to, low, sum[k][0]);
    _mm256_maskstore_ps(to + 8, high, sum[k][1]);
  }
}

/// Eight values from `from`, of which `lanes` exist; zeros where there is no pixel.
DCL_INLINE __m256 load_lanes(const float* from, int64_t lanes) {
  if (!from) return _mm256_setzero_ps();
  return lanes >= 8 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, mask_of(lanes));
}

/// The same of bf16, widened.
DCL_INLINE __m256 load_lanes(const uint16_t* from, int64_t lanes) {
  if (!from) return _mm256_setzero_ps();
  __m128i bits = _mm_setzero_si128();
  if (lanes >= 8)
    bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  else if (lanes > 0)
    __builtin_memcpy(&bits, from, static_cast<size_t>(lanes) * sizeof *from);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

/// A panel row is kLanes cells; eight or sixteen are stored, and what spills over is overwritten by the next step.
/// Panels lie pages apart, so only a few are written at a time.
template <class Value, int kLanes>
void pack(const RowSource& source, uint32_t* panels, int64_t panel_stride) {
  constexpr int64_t kGroup = 96;  // channels: whole panels of either kind, whole cache lines of the source
  static_assert(kGroup % kLanes == 0);
  const auto* row = static_cast<const Value*>(source.row);
  for (int64_t group = 0; group < source.channels; group += kGroup, panels += kGroup / kLanes * panel_stride) {
    const int64_t end = source.channels < group + kGroup ? source.channels : group + kGroup;
    for (int64_t position = 0; position < source.count; ++position) {
      const bool exists = position >= source.valid_begin && position < source.valid_end;
      const Value* pixel = exists ? row + (source.first + position * source.stride) * source.pixel_stride : nullptr;
      uint32_t* to = panels + position * kLanes;
      for (int64_t channel = group; channel < end; channel += kLanes, to += panel_stride)
#pragma GCC unroll 2
        for (int at = 0; at < kLanes; at += 8) {
          const __m256 values = load_lanes(pixel ? pixel + channel + at : nullptr, source.channels - channel - at);
          _mm256_storeu_ps(reinterpret_cast<float*>(to + at), values);
        }
    }
  }
}

}  // namespace

extern const FilterKernels f32_kernels{kXLanes, kYLanes, 1, pack<float, kXLanes>, pack<float, kYLanes>, multiply};
extern const FilterKernels widening_kernels{kXLanes, kYLanes, 1, pack<uint16_t, kXLanes>, pack<uint16_t, kYLanes>,
                                            multiply};

}  // namespace dcl::onednn::avx2
