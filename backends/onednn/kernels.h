// The few loops of our own between oneDNN primitives.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace dcl::onednn {

/// bf16 to f32, and f32 to the nearest bf16 (ties to even). On the calling thread.
void widen(const uint16_t* bits, float* values, int64_t count);
void round_to_bf16(const float* values, uint16_t* bits, int64_t count);

/// to[i] += values[i]; to is f32 or bf16 (summed in f32, rounded once). On the calling thread.
void add_to(void* to, DType type, const float* values, int64_t count);

}  // namespace dcl::onednn
