#include "onednn/filter_kernels.h"

#include "eigen/kernels/isa.h"

namespace dcl::onednn {

#ifdef DCL_X86_KERNELS

namespace avx2 {
extern const FilterKernels f32_kernels, widening_kernels;
}
namespace avx512 {
extern const FilterKernels f32_kernels, widening_kernels, bf16_kernels;
}

const FilterKernels* filter_kernels(bool bf16) {
  switch (kernels::active_isa()) {
    case kernels::Isa::v4:
      if (!bf16) return &avx512::f32_kernels;
      return __builtin_cpu_supports("avx512bf16") ? &avx512::bf16_kernels : &avx512::widening_kernels;
    case kernels::Isa::v3:
      return bf16 ? &avx2::widening_kernels : &avx2::f32_kernels;
    default:
      return nullptr;
  }
}

#else

const FilterKernels* filter_kernels(bool) { return nullptr; }

#endif

}  // namespace dcl::onednn
