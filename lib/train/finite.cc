#include "train/finite.h"

#include <cmath>

namespace dcl {

bool FiniteCheck::operator()(ConstTensorRef values) const {
  const TensorRef sum = square_sum_.view({1}, DType::f64);
  backend_.sum_of_squares(values, sum);
  double value;
  backend_.copy_out(&value, sum);
  return std::isfinite(value);
}

}  // namespace dcl
