// Sums and maxima over a warp or a block, in an order that depends on the number of threads alone. Included by .cu
// files.
#pragma once

#include "cuda/launch.h"

namespace dcl::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

/// Of the running thread in its warp.
__device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x % kWarp); }

/// The sum over the warp, the same bits in every lane.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}

/// The sum over a block of kThreads, the same bits in every thread. Every thread of the block must call it.
template <int kThreads, class T>
__device__ T block_sum(T value) {
  DCL_SHARED(T, warps, [kThreads / kWarp]);
  value = warp_sum(value);
  __syncthreads();  // an earlier call may still be reading
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  T sum = 0;
#pragma unroll
  for (int i = 0; i < kThreads / kWarp; ++i) sum += warps[i];
  return sum;
}

}  // namespace dcl::cuda
