#include "onednn/winograd_kernels.h"

#include "eigen/kernels/isa.h"

namespace dcl::onednn {

#ifdef DCL_X86_KERNELS

namespace avx2 {
extern const WinogradKernels winograd_table;
}
namespace avx512 {
extern const WinogradKernels winograd_table;
}

const WinogradKernels* winograd_kernels() {
  switch (kernels::active_isa()) {
    case kernels::Isa::v4:
      return &avx512::winograd_table;
    case kernels::Isa::v3:
      return &avx2::winograd_table;
    default:
      return nullptr;
  }
}

#else

const WinogradKernels* winograd_kernels() { return nullptr; }

#endif

}  // namespace dcl::onednn
