#include "eigen/eigen_backend.h"

namespace dcl {

void EigenBackend::do_batch_norm_statistics(const BatchNormDesc&, ConstTensorRef, TensorRef, TensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_batch_norm_running(const BatchNormDesc&, ConstTensorRef, ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_batch_norm_apply(const BatchNormDesc&, ConstTensorRef, ConstTensorRef, ConstTensorRef, ConstTensorRef, ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_batch_norm_backward(const BatchNormDesc&, ConstTensorRef, ConstTensorRef, ConstTensorRef, ConstTensorRef, ConstTensorRef, ConstTensorRef, TensorRef, TensorRef, TensorRef, TensorRef, Accum) { fail(ErrorKind::internal, "unavailable"); }

}  // namespace dcl
