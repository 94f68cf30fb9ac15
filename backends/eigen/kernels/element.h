// One element of an activation as f32: the kernels compute in f32 whatever the storage type.
#pragma once

#include "math/bfloat16.h"

namespace dcl::kernels {

DCL_HD float load(float value) { return value; }
DCL_HD float load(bf16 value) { return bf16::to_float(value.bits); }
DCL_HD void store(float* to, float value) { *to = value; }
DCL_HD void store(bf16* to, float value) { to->bits = bf16::round_to_bits(value); }

}  // namespace dcl::kernels
