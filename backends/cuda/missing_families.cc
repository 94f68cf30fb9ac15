// Families of ops that are still to come: their ops fail. The module for programs is not built while this file exists.
#include "cuda/batch_norm.h"
#include "cuda/gemm.h"
#include "cuda/optimizers.h"
#include "cuda/pooling.h"
#include "cuda/rows.h"
#include "cuda/square_sum.h"

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
void max_pool_forward(Context&, const MaxPoolDesc&, ConstTensorRef, TensorRef, TensorRef) { missing(); }
void max_pool_backward(Context&, const MaxPoolDesc&, ConstTensorRef, ConstTensorRef, TensorRef) { missing(); }
void average_pool_forward(Context&, const AveragePoolDesc&, ConstTensorRef, TensorRef) { missing(); }
void average_pool_backward(Context&, const AveragePoolDesc&, ConstTensorRef, TensorRef) { missing(); }
void l2_normalize_forward(Context&, ConstTensorRef, TensorRef, TensorRef) { missing(); }
void l2_normalize_backward(Context&, ConstTensorRef, ConstTensorRef, ConstTensorRef, TensorRef) { missing(); }
void cross_entropy(Context&, const CrossEntropyDesc&, ConstTensorRef, ConstTensorRef, TensorRef, TensorRef) {
  missing();
}
void top_k(Context&, ConstTensorRef, TensorRef, TensorRef) { missing(); }
void column_sum(Context&, ConstTensorRef, TensorRef, Accum) { missing(); }
void adam(Context&, const AdamDesc&, ConstTensorRef, TensorRef, ConstTensorRef, TensorRef, TensorRef) { missing(); }
void sgd(Context&, const SgdDesc&, ConstTensorRef, TensorRef, ConstTensorRef, TensorRef) { missing(); }
void lars(Context&, const LarsDesc&, ConstTensorRef, TensorRef, ConstTensorRef, TensorRef) { missing(); }
void gemm(Context&, const GemmDesc&, ConstTensorRef, ConstTensorRef, ConstTensorRef, TensorRef) { missing(); }
int64_t square_sum_scratch(int64_t) { missing(); }
void square_sum(Context&, const float*, int64_t, double*, double*) { missing(); }
void sum_of_squares(Context&, ConstTensorRef, TensorRef) { missing(); }
void guard_update(Context&, ConstTensorRef, TensorRef) { missing(); }

}  // namespace dcl::cuda
