// Bytes widened to one vector of int32 and back (vector.h). Written with intrinsics because GCC 12 takes the general
// conversion of vectors apart.
#pragma once

#include <cstdint>

#include "eigen/kernels/vector.h"
#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace dcl::kernels::DCL_ISA {

inline constexpr int kInts = kVectorBytes / 4;
typedef int32_t Ints __attribute__((vector_size(kVectorBytes)));

/// kInts bytes.
__attribute__((always_inline)) inline Ints load_bytes(const uint8_t* from) {
#if defined(__AVX512F__)
  return (Ints)_mm512_maskz_cvtepu8_epi32(0xFFFF, _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#elif defined(__AVX2__)
  return (Ints)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
#elif defined(__SSE2__)
  int32_t four;
  __builtin_memcpy(&four, from, 4);
  const __m128i zero = _mm_setzero_si128();
  return (Ints)_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero), zero);
#else
  Ints out;
  for (int i = 0; i < kInts; ++i) out[i] = from[i];
  return out;
#endif
}

/// values in 0..255.
__attribute__((always_inline)) inline void store_bytes(uint8_t* to, Ints values) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_maskz_cvtepi32_epi8(0xFFFF, (__m512i)values));
#elif defined(__AVX2__)
  const __m256i words = _mm256_packus_epi32((__m256i)values, (__m256i)values);
  const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0x08);
  const __m128i ordered = _mm_shuffle_epi32(_mm256_castsi256_si128(bytes), 0x08);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), ordered);
#elif defined(__SSE2__)
  const __m128i words = _mm_packs_epi32((__m128i)values, (__m128i)values);
  const int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  __builtin_memcpy(to, &four, 4);
#else
  for (int i = 0; i < kInts; ++i) to[i] = static_cast<uint8_t>(values[i]);
#endif
}

}  // namespace dcl::kernels::DCL_ISA
