#include "eigen/eigen_backend.h"

namespace dcl {

void EigenBackend::do_gemm(const GemmDesc&, ConstTensorRef, ConstTensorRef, ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }

}  // namespace dcl
