// Backend::augment: one block a view, from the crop to the normalised pixels.
#pragma once

#include "core/ops.h"
#include "cuda/context.h"
#include "math/view_params.h"

namespace dcl::cuda {

/// As Backend::augment; views and pool in device memory.
void augment(Context&, const AugmentDesc&, ConstTensorRef pool, ConstTensorRef views, TensorRef out);

}  // namespace dcl::cuda
