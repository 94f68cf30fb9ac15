// Elements of file types as numbers of the program, from bytes of any alignment. Private to lib/io.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "io/file_dtype.h"
#include "io/little_endian.h"
#include "math/bfloat16.h"

namespace dcl {

inline float half_to_float(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u, fraction = half & 0x3FFu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | fraction << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

/// Rounded to nearest, ties to even; infinite beyond 65504.
inline uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // from 65520 on
  if (magnitude < 0x38800000u) {  // subnormal: units of 2^-24 are those of a float in [0.5, 1]
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f)));
  }
  const uint32_t rounded = magnitude + 0xFFFu + (magnitude >> 13 & 1u);
  return static_cast<uint16_t>(sign | (rounded - (112u << 23)) >> 13);
}

/// `count` little-endian elements of type `from` as T, by C++ conversion.
template <class T>
void convert_elements(FileDType from, const std::byte* at, T* to, size_t count) {
  const auto each = [&](auto tag, auto&& value_of) {
    using From = decltype(tag);
    for (size_t i = 0; i < count; ++i) to[i] = static_cast<T>(value_of(load_unaligned<From>(at + i * sizeof(From))));
  };
  const auto same = [](auto value) { return value; };
  switch (from) {
    case FileDType::i64:
      return each(int64_t{}, same);
    case FileDType::f64:
      return each(double{}, same);
    case FileDType::i32:
      return each(int32_t{}, same);
    case FileDType::f32:
      return each(float{}, same);
    case FileDType::bf16:
      return each(uint16_t{}, [](uint16_t bits) { return bf16::to_float(bits); });
    case FileDType::f16:
      return each(uint16_t{}, half_to_float);
    case FileDType::i16:
      return each(int16_t{}, same);
    case FileDType::i8:
      return each(int8_t{}, same);
    case FileDType::u8:
      return each(uint8_t{}, same);
    case FileDType::boolean:
      return each(uint8_t{}, [](uint8_t value) { return value != 0 ? 1 : 0; });
  }
}

}  // namespace dcl
