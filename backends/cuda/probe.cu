#include <cuda_runtime.h>

#include "cuda/probe.h"

namespace dcl::cuda {
namespace {

__global__ void probe() {}

}  // namespace

cudaError_t probe_kernels(int& architecture) {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, probe);
  architecture = attributes.ptxVersion;
  cudaGetLastError();
  return status;
}

}  // namespace dcl::cuda
