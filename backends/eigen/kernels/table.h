// Which kernels of a table are those of a type.
#pragma once

#include <type_traits>

#include "math/bfloat16.h"

namespace dcl::kernels {

template <class T, class Table>
const auto& of_type(const Table& table) {
  if constexpr (std::is_same_v<T, double>)
    return table.f64;
  else if constexpr (std::is_same_v<T, bf16>)
    return table.bf16_;
  else
    return table.f32;
}

}  // namespace dcl::kernels
