// The widest vectors of the instruction set a kernel file is being compiled for, as compiler vector extensions.
// Include only from files of this folder that are built once per instruction set.
#pragma once

#include <cstdint>

namespace dcl::kernels::DCL_ISA {

#if defined(DCL_VECTOR_BYTES)  // wider than the registers, for a test
inline constexpr int kVectorBytes = DCL_VECTOR_BYTES;
#elif defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <class T>
struct VectorOf;
// Alignment of one element: panels and rows may start anywhere.
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
  typedef float value __attribute__((vector_size(kVectorBytes)));
  typedef int32_t bits __attribute__((vector_size(kVectorBytes)));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
  typedef double value __attribute__((vector_size(kVectorBytes)));
  typedef int64_t bits __attribute__((vector_size(kVectorBytes)));
};
/// A vector in a register.
template <class T>
using Vec = typename VectorOf<T>::value;
/// Its bits as integers of the same width; also the type of comparisons (0 or -1).
template <class T>
using VecBits = typename VectorOf<T>::bits;
template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
__attribute__((always_inline)) inline Vec<T> load(const T* from) {
  return *reinterpret_cast<const typename VectorOf<T>::type*>(from);
}
template <class T>
__attribute__((always_inline)) inline void store(T* to, Vec<T> value) {
  *reinterpret_cast<typename VectorOf<T>::type*>(to) = value;
}
template <class T>
__attribute__((always_inline)) inline Vec<T> splat(T value) {
  return value - Vec<T>{};  // exact for every value, so the compiler keeps only the broadcast
}

}  // namespace dcl::kernels::DCL_ISA
