#include "eigen/eigen_backend.h"

namespace dcl {

void EigenBackend::do_l2_normalize_forward(ConstTensorRef, TensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_l2_normalize_backward(ConstTensorRef, ConstTensorRef, ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_cross_entropy(const CrossEntropyDesc&, ConstTensorRef, ConstTensorRef, TensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_top_k(ConstTensorRef, TensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_column_sum(ConstTensorRef, TensorRef, Accum) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_sum_of_squares(ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }

}  // namespace dcl
