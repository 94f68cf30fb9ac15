// Sixteen bytes at a time: activations as f32 lanes, whatever they are stored as. Included by .cu files only.
#pragma once

#include "cuda/launch.h"
#include "math/bfloat16.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#endif

namespace dcl::cuda {

#ifdef __CUDACC__
__device__ __forceinline__ void vector_access(const void*, size_t) {}  // the device traps
#else
using emulation::vector_access;
#endif

/// Elements of one vector access.
template <class T>
inline constexpr int kVector = 16 / sizeof(T);

/// Whether runs of `extent` elements at these addresses may be read and written sixteen bytes at a time.
template <class T, class... Pointers>
bool vectorizable(int64_t extent, const Pointers*... pointers) {
  return extent % kVector<T> == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return static_cast<float>(x); }

/// Rounds to nearest even.
template <class T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
#ifdef __CUDA_ARCH__
  bf16 out;  // one instruction, where bf16(float) is several
  out.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
  return out;
#else
  return bf16(x);
#endif
}

/// N elements starting at `from`, as f32; N is kVector<T> (one access) or 1.
template <int N, class T>
__device__ __forceinline__ void load(const T* from, float (&lanes)[N]) {
  if constexpr (N == 1) {
    lanes[0] = to_float(*from);
  } else if constexpr (sizeof(T) == 4) {
    vector_access(from, sizeof(float4));
    const float4 v = *reinterpret_cast<const float4*>(from);
    lanes[0] = v.x, lanes[1] = v.y, lanes[2] = v.z, lanes[3] = v.w;
  } else {
    vector_access(from, sizeof(uint4));
    const uint4 v = *reinterpret_cast<const uint4*>(from);
    const unsigned words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      lanes[2 * i] = __uint_as_float(words[i] << 16);
      lanes[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
  }
}

template <int N, class T>
__device__ __forceinline__ void store(T* to, const float (&lanes)[N]) {
  if constexpr (N == 1) {
    *to = from_float<T>(lanes[0]);
  } else if constexpr (sizeof(T) == 4) {
    vector_access(to, sizeof(float4));
    *reinterpret_cast<float4*>(to) = make_float4(lanes[0], lanes[1], lanes[2], lanes[3]);
  } else {
    vector_access(to, sizeof(uint4));
    unsigned words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      words[i] = static_cast<unsigned>(from_float<T>(lanes[2 * i]).bits) |
                 static_cast<unsigned>(from_float<T>(lanes[2 * i + 1]).bits) << 16;
    *reinterpret_cast<uint4*>(to) = make_uint4(words[0], words[1], words[2], words[3]);
  }
}

/// N bytes at a time; `at` is a multiple of N.
template <int N>
struct alignas(N) Bytes {
  uint8_t lanes[N];
};
template <int N>
__device__ __forceinline__ Bytes<N> load_bytes(const uint8_t* from) {
  vector_access(from, N);
  return *reinterpret_cast<const Bytes<N>*>(from);
}
template <int N>
__device__ __forceinline__ void store_bytes(uint8_t* to, const Bytes<N>& bytes) {
  vector_access(to, N);
  *reinterpret_cast<Bytes<N>*>(to) = bytes;
}

}  // namespace dcl::cuda
