#include <cuda_runtime.h>

#include "cuda/probe.h"

namespace dcl::cuda {
namespace {

__global__ void probe() {}

}  // namespace

cudaError_t probe_kernels() {
  cudaFuncAttributes attributes;
  const cudaError_t status = cudaFuncGetAttributes(&attributes, probe);
  cudaGetLastError();
  return status;
}

}  // namespace dcl::cuda
