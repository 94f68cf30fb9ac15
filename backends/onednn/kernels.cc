#include "onednn/kernels.h"

#if defined(__x86_64__) && defined(__linux__)
#define DCL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DCL_CLONES
#endif

namespace dcl::onednn {
namespace {

DCL_CLONES void add_f32(float* __restrict to, const float* __restrict values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += values[i];
}

DCL_CLONES void add_bf16(uint16_t* __restrict to, const float* __restrict values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = bf16::round_to_bits(bf16::to_float(to[i]) + values[i]);
}

DCL_CLONES void widen_bits(const uint16_t* __restrict bits, float* __restrict values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = bf16::to_float(bits[i]);
}

DCL_CLONES void round_bits(const float* __restrict values, uint16_t* __restrict bits, int64_t count) {
  for (int64_t i = 0; i < count; ++i) bits[i] = bf16::round_to_bits(values[i]);
}

}  // namespace

void widen(const uint16_t* bits, float* values, int64_t count) { widen_bits(bits, values, count); }

void round_to_bf16(const float* values, uint16_t* bits, int64_t count) { round_bits(values, bits, count); }

void add_to(void* to, DType type, const float* values, int64_t count) {
  if (type == DType::bf16)
    add_bf16(static_cast<uint16_t*>(to), values, count);
  else
    add_f32(static_cast<float*>(to), values, count);
}

}  // namespace dcl::onednn
