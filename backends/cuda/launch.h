// The language of the kernels: CUDA C++ when nvcc compiles them, the emulator otherwise. Included by .cu files only.
//
// Rules that keep both meanings of a kernel the same:
//  * Kernels are launched by launch() and declare shared memory by DCL_SHARED; types in it have no constructors.
//  * Products and sums are contracted only where __fmaf_rn says so (nvcc runs with -fmad=false).
//  * Every thread of a block reaches every __syncthreads(); masks of warp operations name exactly the lanes that
//  arrive.
//  * Sums have a fixed order; no atomics on floats.
#pragma once

#include <cstdint>

#include "cuda/runtime.h"

#ifdef __CUDACC__

#include <cuda_runtime.h>

#include "cuda/errors.h"

/// A shared array, say DCL_SHARED(float, tile, [32][33]); 16-byte aligned.
#define DCL_SHARED(type, name, extents) __shared__ alignas(16) type name extents

namespace dcl::cuda {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Stream stream,
            Arguments&&... arguments) {
  require_context();
  // Without it the declared arrays and these may not exceed 48 KiB together.
  if (shared_bytes > 0)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
          "shared memory of a kernel");
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  check(cudaGetLastError(), "kernel launch");
}

/// The block's dynamic shared memory, as many bytes as launch() was given; 16-byte aligned.
template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ uint4 dcl_dynamic_shared[];
  return reinterpret_cast<T*>(dcl_dynamic_shared);
}

}  // namespace dcl::cuda

#else

#include <tuple>

#include "cuda/emulation/language.h"
#include "cuda/emulation/stream.h"

#define DCL_SHARED(type, name, extents) \
  static const char name##_key = 0;     \
  using name##_array = type extents;    \
  auto& name = *static_cast<name##_array*>(emulation::shared_array(&name##_key, #name, sizeof(name##_array)))

namespace dcl::cuda {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Stream,
            Arguments&&... arguments) {
  emulation::load_kernel(reinterpret_cast<const void*>(kernel));
  const std::tuple<Parameters...> values{static_cast<Parameters>(arguments)...};
  emulation::enqueue([=] { emulation::run_grid(grid, block, shared_bytes, [&] { std::apply(kernel, values); }); });
}

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(emulation::dynamic_shared());
}

}  // namespace dcl::cuda

#endif
