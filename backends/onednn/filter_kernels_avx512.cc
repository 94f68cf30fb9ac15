// Built with AVX-512 (F, BW, VL, DQ) and AVX512_BF16; called only after the processor was asked (filter_kernels.cc).
// No inline function of the standard library may be emitted from here: another file might be given this copy of it.
#include <immintrin.h>

#include "onednn/filter_kernels.h"

namespace dcl::onednn::avx512 {
namespace {

#define DCL_INLINE __attribute__((always_inline)) inline

constexpr int kXLanes = 32, kYLanes = 8;

DCL_INLINE uint32_t mask_of(int64_t channels) {
  return static_cast<uint32_t>(channels >= 32 ? ~uint64_t{0} : (uint64_t{1} << channels) - 1);
}

struct F32 {
  using Value = float;
  static constexpr int kPixels = 1;

  DCL_INLINE static __m512 multiply_add(__m512i x, __m512i y, __m512 sum) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(y), sum);
  }

  /// 32 channels of one step as two vectors of cells.
  DCL_INLINE static void load(const float* a, const float*, int64_t channels, __m512i& low, __m512i& high) {
    const uint32_t exists = a ? mask_of(channels) : 0;
    low = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(exists), a);
    high = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(exists >> 16), a + 16);
  }
};

/// bf16 in memory, f32 in the panels.
struct Widening : F32 {
  using Value = uint16_t;

  DCL_INLINE static void load(const uint16_t* a, const uint16_t*, int64_t channels, __m512i& low, __m512i& high) {
    const __m512i bits = _mm512_maskz_loadu_epi16(a ? mask_of(channels) : 0, a);
    low = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(bits)), 16);
    high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(bits, 1)), 16);
  }
};

struct Bf16 {
  using Value = uint16_t;
  static constexpr int kPixels = 2;

  DCL_INLINE static __m512 multiply_add(__m512i x, __m512i y, __m512 sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)y);
  }

  /// Of two pixels, interleaved.
  DCL_INLINE static void load(const uint16_t* a, const uint16_t* b, int64_t channels, __m512i& low, __m512i& high) {
    const uint32_t exists = mask_of(channels);
    const __m512i first = _mm512_maskz_loadu_epi16(a ? exists : 0, a);
    const __m512i second = _mm512_maskz_loadu_epi16(b ? exists : 0, b);
    const __m512i even = _mm512_unpacklo_epi16(first, second), odd = _mm512_unpackhi_epi16(first, second);
    // unpack works within quarters of a register: quarters of `even` hold channels 0, 8, 16, 24, of `odd` 4, 12, 20, 28
    // on.
    const __m512i to_low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                  to_high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    low = _mm512_permutex2var_epi64(even, to_low, odd);
    high = _mm512_permutex2var_epi64(even, to_high, odd);
  }
};

template <class Type>
void multiply(const PanelWalk& walk, const uint32_t* x, const uint32_t* y, const FilterTile& tile,
              const Prefetch& prefetch) {
  const char* ahead = prefetch.begin;
  __m512 sum[kYLanes][2];
#pragma GCC unroll 8
  for (int k = 0; k < kYLanes; ++k) sum[k][0] = sum[k][1] = _mm512_setzero_ps();
  for (int64_t image = 0; image < walk.images; ++image)
    for (int64_t row = 0; row < walk.rows; ++row) {
      const uint32_t* xp = x + image * walk.x_image + row * walk.x_row;
      const uint32_t* yp = y + image * walk.y_image + row * walk.y_row;
      for (int64_t step = 0; step < walk.steps; ++step, xp += kXLanes, yp += kYLanes) {
        if (ahead < prefetch.end) {
          _mm_prefetch(ahead, _MM_HINT_T1);
          ahead += 64;
        }
        const __m512i x0 = _mm512_loadu_si512(xp), x1 = _mm512_loadu_si512(xp + 16);
#pragma GCC unroll 8
        for (int k = 0; k < kYLanes; ++k) {
          const __m512i value = _mm512_set1_epi32(static_cast<int>(yp[k]));
          sum[k][0] = Type::multiply_add(x0, value, sum[k][0]);
          sum[k][1] = Type::multiply_add(x1, value, sum[k][1]);
        }
      }
    }
  const uint32_t exists = mask_of(tile.columns);
  const auto low = static_cast<__mmask16>(exists), high = static_cast<__mmask16>(exists >> 16);
#pragma GCC unroll 8
  for (int k = 0; k < kYLanes; ++k) {
    if (k >= tile.rows) break;
    float* to = tile.data + k * tile.row_stride;
    if (tile.add) {
      sum[k][0] = _mm512_add_ps(sum[k][0], _mm512_maskz_loadu_ps(low, to));
      sum[k][1] = _mm512_add_ps(sum[k][1], _mm512_maskz_loadu_ps(high, to + 16));
    }
    _mm512_mask_storeu_ps(to, low, sum[k][0]);
    _mm512_mask_storeu_ps(to + 16, high, sum[k][1]);
  }
}

DCL_INLINE void store_cells(uint32_t* panels, int64_t panel_stride, int lanes, int64_t channels, __m512i low,
                            __m512i high) {
  if (lanes == 32) {
    _mm512_storeu_si512(panels, low);
    _mm512_storeu_si512(panels + 16, high);
    return;
  }
  const __m256i parts[] = {_mm512_castsi512_si256(low), _mm512_extracti64x4_epi64(low, 1), _mm512_castsi512_si256(high),
                           _mm512_extracti64x4_epi64(high, 1)};
#pragma GCC unroll 4
  for (int part = 0; part < 4; ++part)
    if (part * 8 < channels) _mm256_storeu_si256(reinterpret_cast<__m256i*>(panels + part * panel_stride), parts[part]);
}

template <class Type, int kLanes>
void pack(const RowSource& source, uint32_t* panels, int64_t panel_stride) {
  using Value = typename Type::Value;
  const auto* row = static_cast<const Value*>(source.row);
  const auto pixel = [&](int64_t position) -> const Value* {
    if (position < source.valid_begin || position >= source.valid_end) return nullptr;
    return row + (source.first + position * source.stride) * source.pixel_stride;
  };
  for (int64_t position = 0; position < source.count; position += Type::kPixels, panels += kLanes) {
    const Value* a = pixel(position);
    const Value* b = Type::kPixels == 2 ? pixel(position + 1) : nullptr;
    uint32_t* to = panels;
    for (int64_t channel = 0; channel < source.channels; channel += 32) {
      __m512i low, high;
      Type::load(a ? a + channel : nullptr, b ? b + channel : nullptr, source.channels - channel, low, high);
      store_cells(to, panel_stride, kLanes, source.channels - channel, low, high);
      to += (32 / kLanes) * panel_stride;
    }
  }
}

template <class Type>
constexpr FilterKernels kernels_of() {
  return {kXLanes, kYLanes, Type::kPixels, pack<Type, kXLanes>, pack<Type, kYLanes>, multiply<Type>};
}

}  // namespace

extern const FilterKernels f32_kernels = kernels_of<F32>();
extern const FilterKernels widening_kernels = kernels_of<Widening>();
extern const FilterKernels bf16_kernels = kernels_of<Bf16>();

}  // namespace dcl::onednn::avx512
