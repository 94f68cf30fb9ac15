// Backend::objective in O(B D) memory and four launches: sums over tiles of the similarity matrix, rows, the tiles
// again for the gradient, and what adds their parts up.
#pragma once

#include "core/backend.h"
#include "cuda/context.h"

namespace dcl::cuda {

size_t objective_workspace(const ObjectiveDesc&);
/// As Backend::objective.
void objective(Context&, const ObjectiveDesc&, ConstTensorRef z, ConstTensorRef labels, TensorRef result, TensorRef dz,
               Workspace);

}  // namespace dcl::cuda
