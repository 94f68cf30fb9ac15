// Whether all numbers of a flat tensor are finite, found by the backend in one pass.
#pragma once

#include "core/backend.h"

namespace dcl {

class FiniteCheck {
 public:
  explicit FiniteCheck(Backend& backend) : backend_(backend), square_sum_(backend, sizeof(double)) {}

  /// values: f32. Waits for the backend; allocates nothing.
  bool operator()(ConstTensorRef values) const;

 private:
  Backend& backend_;
  Buffer square_sum_;
};

}  // namespace dcl
