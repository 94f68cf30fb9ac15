// Counts every malloc of the process, on every thread: by functions of that name in front of the C library's. For one
// source file of a program, and none with sanitizers, which have such functions of their own.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace dcl::test {

inline std::atomic<int64_t> allocations{0};
// The OpenMP of LLVM allocates as much for itself in every loop, that of GCC nothing.
#ifdef __clang__
inline constexpr size_t kOpenMpsOwn = 1024;
#else
inline constexpr size_t kOpenMpsOwn = 0;
#endif
/// Bytes; smaller ones are not counted.
inline std::atomic<size_t> smallest_counted{kOpenMpsOwn};

inline void count(size_t bytes) {
  if (bytes >= smallest_counted) ++allocations;
}

}  // namespace dcl::test

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) {
  dcl::test::count(bytes);
  return __libc_malloc(bytes);
}
void* calloc(size_t elements, size_t bytes) {
  dcl::test::count(elements * bytes);
  return __libc_calloc(elements, bytes);
}
void* realloc(void* old, size_t bytes) {
  dcl::test::count(bytes);
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  dcl::test::count(bytes);
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** out, size_t alignment, size_t bytes) {
  dcl::test::count(bytes);
  *out = __libc_memalign(alignment, bytes);
  return *out ? 0 : 12;
}
}
