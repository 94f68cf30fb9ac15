#include "eigen/eigen_backend.h"

namespace dcl {

size_t EigenBackend::do_objective_workspace(const ObjectiveDesc&) const { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_objective(const ObjectiveDesc&, ConstTensorRef, ConstTensorRef, TensorRef, TensorRef, Workspace) { fail(ErrorKind::internal, "unavailable"); }

}  // namespace dcl
