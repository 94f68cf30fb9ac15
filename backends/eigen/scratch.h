// Memory of the calling thread for packed panels and tiles: grows to the largest size asked for, on all threads of a
// parallel loop when on one, and is kept, so that nothing is allocated after the first step.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dcl {

/// Each use has memory of its own, so that one routine may call another.
enum class ScratchSlot : int {
  gemm_a,
  gemm_b,
  convolution,
  batch_norm,
  objective,
  rows,
  reduce,
  view,
  view_columns,
  view_rows,
  count
};

/// 64-byte aligned, valid until this thread asks for more in the same slot. What this thread wrote there stays when the
/// memory grows; the rest is undefined.
/// Throws Error{out_of_memory}.
void* thread_scratch(ScratchSlot slot, size_t bytes);

template <class T>
T* thread_scratch(ScratchSlot slot, int64_t elements) {
  return static_cast<T*>(thread_scratch(slot, static_cast<size_t>(elements) * sizeof(T)));
}

}  // namespace dcl
