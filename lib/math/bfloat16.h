// bfloat16: the upper half of an f32. Conversion from f32 rounds to nearest even; NaN stays NaN.
#pragma once

#include <bit>
#include <cstdint>

#include "math/host_device.h"

namespace dcl {

struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  DCL_HD explicit bf16(float value) : bits(round_to_bits(value)) {}
  DCL_HD explicit operator float() const { return to_float(bits); }

  DCL_HD static uint16_t round_to_bits(float value) {
    uint32_t u;
    __builtin_memcpy(&u, &value, sizeof u);
    const uint32_t rounded = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
    const uint32_t quiet_nan = (u >> 16) | 0x40u;
    return static_cast<uint16_t>((u & 0x7FFFFFFFu) > 0x7F800000u ? quiet_nan : rounded);
  }
  DCL_HD static float to_float(uint16_t bits) {
    const uint32_t u = static_cast<uint32_t>(bits) << 16;
    float value;
    __builtin_memcpy(&value, &u, sizeof value);
    return value;
  }
};
static_assert(sizeof(bf16) == 2);

}  // namespace dcl
