// Code for both storage types of activations, written once.
#pragma once

#include "core/dtype.h"

namespace dcl {

/// body(a value of the type): f32 or bf16.
template <class Body>
void with_type(DType dtype, Body&& body) {
  if (dtype == DType::bf16) return body(bf16{});
  body(0.0f);
}

}  // namespace dcl
