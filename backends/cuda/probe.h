// Whether the kernels of this module run on the current device.
#pragma once

#include <cuda_runtime_api.h>

namespace dcl::cuda {

/// cudaSuccess, or why a kernel of this module cannot be loaded. architecture: what it was compiled for, 10 major +
/// minor.
cudaError_t probe_kernels(int& architecture);

}  // namespace dcl::cuda
