// Element types. Activations are f32 or bf16, master weights f32, images u8; f64 serves the objective's exact form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "math/bfloat16.h"

namespace dcl {

enum class DType : uint8_t { f32, bf16, f64, u8, i32 };

// clang-format off
constexpr size_t size_of(DType type) {
  switch (type) {
    case DType::f32: return 4;
    case DType::bf16: return 2;
    case DType::f64: return 8;
    case DType::u8: return 1;
    case DType::i32: return 4;
  }
  return 0;
}

constexpr std::string_view name_of(DType type) {
  switch (type) {
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::f64: return "f64";
    case DType::u8: return "u8";
    case DType::i32: return "i32";
  }
  return "?";
}

template <class T>
struct dtype_of_t;
template <> struct dtype_of_t<float> { static constexpr DType value = DType::f32; };
template <> struct dtype_of_t<bf16> { static constexpr DType value = DType::bf16; };
template <> struct dtype_of_t<double> { static constexpr DType value = DType::f64; };
template <> struct dtype_of_t<uint8_t> { static constexpr DType value = DType::u8; };
template <> struct dtype_of_t<int32_t> { static constexpr DType value = DType::i32; };
// clang-format on
template <class T>
inline constexpr DType dtype_of = dtype_of_t<T>::value;

}  // namespace dcl
