// Kernels that run over channels are written once as a template over lanes: `Wide<T>` (a cache line of T at the highest
// level) and `Narrow` (one element) for what is left of a row. Storage T is f32 or bf16; arithmetic is f32.
// Include only from files of this folder that are built once per instruction set.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "eigen/kernels/element.h"
#include "eigen/kernels/vector.h"

namespace dcl::kernels::DCL_ISA {

#define DCL_INLINE __attribute__((always_inline)) inline

struct Narrow {
  using F = float;
  static constexpr int64_t width = 1;

  template <class T>
  static DCL_INLINE F load(const T* from) {
    return kernels::load(*from);
  }
  template <class T>
  static DCL_INLINE void store(T* to, F value) {
    kernels::store(to, value);
  }
  template <class T>
  static DCL_INLINE void stream(T* to, F value) {
    kernels::store(to, value);
  }
};

/// value where mask_value > 0, else 0.
template <class F>
DCL_INLINE F where_positive(F mask_value, F value) {
  return mask_value > 0 ? value : F{};
}

/// max(value, 0) that keeps NaN.
DCL_INLINE float relu_of(float value) { return value < 0 ? 0.0f : value; }
/// x86's maximum returns its second operand when one is NaN.
DCL_INLINE Vec<float> relu_of(Vec<float> value) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_maskz_max_ps(0xFFFF, __m512{}, (__m512)value);  // unmasked: GCC bug 105593 warns
#elif defined(__AVX__)
  return (Vec<float>)_mm256_max_ps(__m256{}, (__m256)value);
#elif defined(__SSE2__)
  return (Vec<float>)_mm_max_ps(__m128{}, (__m128)value);
#else
  return value < 0 ? Vec<float>{} : value;
#endif
}

/// a * b + c, one rounding where the instruction set has it: always the same for an instruction set, so that passes
/// that must agree on a sign do.
DCL_INLINE float multiply_add(float a, float b, float c) {
#if defined(__FMA__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
DCL_INLINE Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (Vec<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

/// Stores past the caches; `to` is aligned to the vector. end_streaming() orders such stores before what the thread
/// does next.
template <class V>
DCL_INLINE void stream_vector(void* to, V value) {
  static_assert(sizeof(V) == kVectorBytes);
#if defined(__AVX512F__)
  _mm512_stream_ps(static_cast<float*>(to), (__m512)value);
#elif defined(__AVX__)
  _mm256_stream_ps(static_cast<float*>(to), (__m256)value);
#elif defined(__SSE2__)
  _mm_stream_ps(static_cast<float*>(to), (__m128)value);
#else
  __builtin_memcpy(to, &value, sizeof value);
#endif
}
DCL_INLINE void end_streaming() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

template <class T>
struct Wide;

template <>
struct Wide<float> {
  using F = Vec<float>;
  static constexpr int64_t width = kLanes<float>;

  static DCL_INLINE F load(const float* from) { return kernels::DCL_ISA::load(from); }
  static DCL_INLINE void store(float* to, F value) { kernels::DCL_ISA::store(to, value); }
  static DCL_INLINE void stream(float* to, F value) { stream_vector(to, value); }
};

/// Even and odd channels of 2 x kLanes<float>: a 32-bit word of two bf16 splits into two f32 by a shift and a mask.
struct Pair {
  Vec<float> even, odd;

  friend DCL_INLINE Pair operator+(Pair a, Pair b) { return {a.even + b.even, a.odd + b.odd}; }
  friend DCL_INLINE Pair operator-(Pair a, Pair b) { return {a.even - b.even, a.odd - b.odd}; }
  friend DCL_INLINE Pair operator*(Pair a, Pair b) { return {a.even * b.even, a.odd * b.odd}; }
  DCL_INLINE Pair& operator+=(Pair b) { return *this = *this + b; }
};
DCL_INLINE Pair where_positive(Pair mask_value, Pair value) {
  return {where_positive(mask_value.even, value.even), where_positive(mask_value.odd, value.odd)};
}
DCL_INLINE Pair multiply_add(Pair a, Pair b, Pair c) {
  return {multiply_add(a.even, b.even, c.even), multiply_add(a.odd, b.odd, c.odd)};
}
DCL_INLINE Pair relu_of(Pair value) { return {relu_of(value.even), relu_of(value.odd)}; }

template <>
struct Wide<bf16> {
  using F = Pair;
  static constexpr int64_t width = 2 * kLanes<float>;

  static DCL_INLINE F load(const bf16* from) {
    Words words;
    __builtin_memcpy(&words, static_cast<const void*>(from), sizeof words);
    return {(Vec<float>)(words << 16), (Vec<float>)(words & 0xFFFF0000u)};
  }
  static DCL_INLINE void store(bf16* to, F value) {
    const Words words = pack(value);
    __builtin_memcpy(static_cast<void*>(to), &words, sizeof words);
  }
  static DCL_INLINE void stream(bf16* to, F value) { stream_vector(to, pack(value)); }

  /// Per-channel constants and sums are f32 in channel order.
  static DCL_INLINE F load(const float* from) {
    const Vec<float> low = kernels::DCL_ISA::load(from), high = kernels::DCL_ISA::load(from + kLanes<float>);
#if defined(__AVX512F__)
    return {__builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
            __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)};
#elif defined(__AVX__)
    return {__builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14),
            __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15)};
#else
    return {__builtin_shufflevector(low, high, 0, 2, 4, 6), __builtin_shufflevector(low, high, 1, 3, 5, 7)};
#endif
  }
  static DCL_INLINE void store(float* to, F value) {
    const Vec<float> a = value.even, b = value.odd;
#if defined(__AVX512F__)
    const Vec<float> low = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const Vec<float> high = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif defined(__AVX__)
    const Vec<float> low = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    const Vec<float> high = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
    const Vec<float> low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const Vec<float> high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
    kernels::DCL_ISA::store(to, low);
    kernels::DCL_ISA::store(to + kLanes<float>, high);
  }

 private:
  typedef uint32_t Words __attribute__((vector_size(kVectorBytes)));

  /// The upper half of each lane is bf16::round_to_bits of it; the lower half is arbitrary.
  static DCL_INLINE Words round(Vec<float> value) {
    const Words bits = (Words)value;
    const Words below_half = bits + 0x7FFFu;
    const Words rounded = (bits & 0x10000u) != 0 ? below_half + 1u : below_half;
    return value == value ? rounded : bits | 0x400000u;
  }
  static DCL_INLINE Words pack(F value) { return round(value.even) >> 16 | (round(value.odd) & 0xFFFF0000u); }
};

/// body(lanes, c) for every channel of rows stored as T: vectors first, then what is left of the row one by one.
template <class T, class Body>
DCL_INLINE void each_channel(int64_t channels, Body&& body) {
  int64_t c = 0;
  for (; c + Wide<T>::width <= channels; c += Wide<T>::width) body(Wide<T>{}, c);
  for (; c < channels; ++c) body(Narrow{}, c);
}

}  // namespace dcl::kernels::DCL_ISA
