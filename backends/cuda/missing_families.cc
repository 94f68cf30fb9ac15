// Families of ops that are still to come: their ops fail. The module for programs is not built while this file exists.
#include "cuda/batch_norm.h"

namespace dcl::cuda {
namespace {

[[noreturn]] void missing() { fail(ErrorKind::internal, "this op of the CUDA backend is still to come"); }

}  // namespace

void batch_norm_statistics(Context&, const BatchNormDesc&, ConstTensorRef, TensorRef, TensorRef, TensorRef) {
  missing();
}
void batch_norm_running(Context&, const BatchNormDesc&, ConstTensorRef, ConstTensorRef, TensorRef) { missing(); }
void batch_norm_apply(Context&, const BatchNormDesc&, ConstTensorRef, ConstTensorRef, ConstTensorRef, ConstTensorRef,
                      ConstTensorRef, TensorRef) {
  missing();
}
void batch_norm_backward(Context&, const BatchNormDesc&, const BatchNormBackward&) { missing(); }

}  // namespace dcl::cuda
