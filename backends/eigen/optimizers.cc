#include "eigen/eigen_backend.h"

namespace dcl {

void EigenBackend::do_adam(const AdamDesc&, ConstTensorRef, TensorRef, ConstTensorRef, TensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_sgd(const SgdDesc&, ConstTensorRef, TensorRef, ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_lars(const LarsDesc&, ConstTensorRef, TensorRef, ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }

}  // namespace dcl
