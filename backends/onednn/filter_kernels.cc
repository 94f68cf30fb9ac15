#include "onednn/filter_kernels.h"

#include "eigen/kernels/isa.h"

namespace dcl::onednn {

#ifdef DCL_AVX512_KERNELS

namespace avx512 {
extern const FilterKernels f32_kernels, bf16_kernels;
}

const FilterKernels* filter_kernels(bool bf16) {
  if (kernels::active_isa() != kernels::Isa::v4) return nullptr;
  if (!bf16) return &avx512::f32_kernels;
  return __builtin_cpu_supports("avx512bf16") ? &avx512::bf16_kernels : nullptr;
}

#else

const FilterKernels* filter_kernels(bool) { return nullptr; }

#endif

}  // namespace dcl::onednn
