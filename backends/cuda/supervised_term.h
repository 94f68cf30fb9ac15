// What the objective `supcon` has beside `biased` (core/objective_form.h), in O(B D).
#pragma once

#include "core/backend.h"
#include "cuda/context.h"

namespace dcl::cuda {

size_t supervised_workspace(const ObjectiveDesc& d);

/// To the result and the gradient of `biased`. z, dz: as the objective's, dz may be empty; labels: i32 [batch],
/// negative where unknown.
void add_supervised_term(Context&, const ObjectiveDesc&, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
                         TensorRef dz, Workspace workspace);

}  // namespace dcl::cuda
