// The few loops of our own between oneDNN primitives.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace dcl::onednn {

/// to[i] += values[i]; to is f32 or bf16 (summed in f32, rounded once). On the calling thread.
void add_to(void* to, DType type, const float* values, int64_t count);

}  // namespace dcl::onednn
