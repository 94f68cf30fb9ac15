#include "eigen/eigen_backend.h"

namespace dcl {

void EigenBackend::do_max_pool_forward(const MaxPoolDesc&, ConstTensorRef, TensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_max_pool_backward(const MaxPoolDesc&, ConstTensorRef, ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_average_pool_forward(const AveragePoolDesc&, ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_average_pool_backward(const AveragePoolDesc&, ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }

}  // namespace dcl
