// Backend::objective in O(B D) memory: two launches for few anchors, which keep the exponentials of their similarity
// matrix (objective_kept.h), and four for any number, which compute it twice, tile by tile (objective_split.h), on
// tensor cores where they multiply tf32 (objective_tensor.h).
#pragma once

#include "core/backend.h"
#include "cuda/context.h"

namespace dcl::cuda {

size_t objective_workspace(const ObjectiveDesc&);
/// As Backend::objective.
void objective(Context&, const ObjectiveDesc&, ConstTensorRef z, ConstTensorRef labels, TensorRef result, TensorRef dz,
               Workspace);

}  // namespace dcl::cuda
