// From what a descriptor says to the types a kernel is compiled for. Included by .cu files only.
#pragma once

#include "core/with_type.h"
#include "cuda/vector.h"

namespace dcl::cuda {

/// Elements that a thread handles at a time.
template <int N>
struct Lanes {
  static constexpr int count = N;
};

/// Calls body(value of the storage type, Lanes): a vector's lanes when runs of `extent` elements at all these addresses
/// allow it, one lane otherwise.
template <class Body, class... Pointers>
void with_lanes(DType dtype, int64_t extent, Body&& body, const Pointers*... pointers) {
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    if (vectorizable<T>(extent, pointers...)) return body(type, Lanes<kVector<T>>{});
    body(type, Lanes<1>{});
  });
}

}  // namespace dcl::cuda
