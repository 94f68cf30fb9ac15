// The part of CUDA C++ that the kernels of this backend use, for a plain C++ compiler: a kernel is an ordinary
// function, run once for every CUDA thread by the emulator (emulator.h). What is missing here, kernels must not use;
// atomics on floats are missing on purpose, since their order is not fixed.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>

#include "cuda/emulation/emulator.h"
#include "cuda/emulation/tensor_core.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__
#define __grid_constant__
#define __launch_bounds__(...)

/// Of the running thread; the emulator sets them before it resumes one.
inline dcl::cuda::emulation::Index3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

using std::isfinite;
using std::isnan;
using std::max;
using std::min;

inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }

// Blocks run one after the other and threads take turns only where they wait: plain updates are atomic.
inline unsigned atomicAdd(unsigned* to, unsigned value) { return std::exchange(*to, *to + value); }
inline int atomicAdd(int* to, int value) { return std::exchange(*to, *to + value); }

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  dcl::cuda::emulation::block_barrier(where);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, std::source_location where = std::source_location::current()) {
  dcl::cuda::emulation::warp_exchange({dcl::cuda::emulation::WarpOp::barrier, mask, 0, 32}, nullptr, 0, where);
}

namespace dcl::cuda::emulation {
template <class T>
T shuffle(WarpOp op, unsigned mask, T value, int argument, int width, const std::source_location& where) {
  static_assert(sizeof(T) <= 8);
  warp_exchange({op, mask, argument, width}, &value, sizeof value, where);
  return value;
}
inline unsigned vote(unsigned mask, bool predicate, const std::source_location& where) {
  unsigned value = predicate;
  warp_exchange({WarpOp::ballot, mask, 0, 32}, &value, sizeof value, where);
  return value;
}
}  // namespace dcl::cuda::emulation

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              std::source_location where = std::source_location::current()) {
  return dcl::cuda::emulation::shuffle(dcl::cuda::emulation::WarpOp::from_lane, mask, value, lane, width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  std::source_location where = std::source_location::current()) {
  return dcl::cuda::emulation::shuffle(dcl::cuda::emulation::WarpOp::from_xor, mask, value, lane_mask, width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int delta, int width = 32,
                   std::source_location where = std::source_location::current()) {
  return dcl::cuda::emulation::shuffle(dcl::cuda::emulation::WarpOp::from_below, mask, value, delta, width, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int delta, int width = 32,
                 std::source_location where = std::source_location::current()) {
  return dcl::cuda::emulation::shuffle(dcl::cuda::emulation::WarpOp::from_above, mask, value, delta, width, where);
}
inline unsigned __ballot_sync(unsigned mask, bool predicate,
                              std::source_location where = std::source_location::current()) {
  return dcl::cuda::emulation::vote(mask, predicate, where);
}
inline bool __any_sync(unsigned mask, bool predicate, std::source_location where = std::source_location::current()) {
  return dcl::cuda::emulation::vote(mask, predicate, where) != 0;
}
inline bool __all_sync(unsigned mask, bool predicate, std::source_location where = std::source_location::current()) {
  return dcl::cuda::emulation::vote(mask, predicate, where) == mask;
}
