// Fill, cast and add.
#pragma once

#include "core/tensor.h"
#include "cuda/context.h"

namespace dcl::cuda {

void fill(Context&, TensorRef to, float value);
/// Between f32 and bf16.
void cast(Context&, ConstTensorRef from, TensorRef to);
/// to += from; to is f32, from f32 or bf16.
void accumulate(Context&, ConstTensorRef from, TensorRef to);
/// to = from [+ bias] [+ other], negative results made 0 if `relu`. from, other and to [..., channels] are of one type,
/// f32 or bf16, and rounded once; bias f32 [channels]. to may be `other` or `from`.
void add_rest(Context&, ConstTensorRef from, ConstTensorRef bias, ConstTensorRef other, bool relu, TensorRef to);

}  // namespace dcl::cuda
