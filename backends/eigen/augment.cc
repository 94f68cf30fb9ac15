#include "eigen/eigen_backend.h"

namespace dcl {

void EigenBackend::do_augment(const AugmentDesc&, ConstTensorRef, std::span<const ViewParams>, TensorRef) { fail(ErrorKind::internal, "unavailable"); }

}  // namespace dcl
