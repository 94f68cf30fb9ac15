// Entry of the run-time modules dcl_cuda.so and, for tests, dcl_cuda_emulated.so.
#include "core/registry.h"
#include "cuda/cuda_backend.h"

namespace {

std::unique_ptr<dcl::Backend> create() { return std::make_unique<dcl::cuda::CudaBackend>(DCL_CUDA_NAME); }

}  // namespace

extern "C" const dcl::BackendModule* dcl_backend_module() {
  static const dcl::BackendModule module{dcl::kBackendInterface, DCL_CUDA_NAME, &create};
  return &module;
}
