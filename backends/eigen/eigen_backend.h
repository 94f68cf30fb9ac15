// The portable CPU backend: complete, needs nothing but Eigen, and the base of the other CPU backend.
// Kernels live in kernels/ and are compiled once per instruction set; the files here shape, cut and dispatch.
#pragma once

#include "core/backend.h"

namespace dcl {

class EigenBackend : public Backend {
 public:
  BackendInfo info() const override;
  void* allocate(size_t bytes) override;
  void release(void* data, size_t bytes) noexcept override;
  void copy_in(TensorRef to, const void* host) override;
  void copy_out(void* host, ConstTensorRef from) override;

 protected:
  void do_copy(ConstTensorRef from, TensorRef to) override;
  void do_fill(TensorRef to, float value) override;
  size_t do_conv_workspace(const ConvDesc&, ConvPass) const override;
  void do_conv_forward(const ConvDesc&, ConstTensorRef x, ConstTensorRef filter, TensorRef y, Workspace) override;
  void do_conv_backward_data(const ConvDesc&, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx, Accum,
                             Workspace) override;
  void do_conv_backward_filter(const ConvDesc&, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter, Accum,
                               Workspace) override;
  size_t do_packed_filter_bytes(const FusedConvDesc&) const override;
  void do_pack_filter(const FusedConvDesc&, ConstTensorRef filter, TensorRef packed) override;
  size_t do_fused_conv_workspace(const FusedConvDesc&) const override;
  void do_fused_conv(const FusedConvDesc&, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                     ConstTensorRef residual, TensorRef y, Workspace) override;
  void do_gemm(const GemmDesc&, ConstTensorRef a, ConstTensorRef b, ConstTensorRef bias, TensorRef c) override;
  void do_batch_norm_statistics(const BatchNormDesc&, ConstTensorRef x, TensorRef saved, TensorRef running_mean,
                                TensorRef running_var) override;
  void do_batch_norm_running(const BatchNormDesc&, ConstTensorRef running_mean, ConstTensorRef running_var,
                             TensorRef saved) override;
  void do_batch_norm_apply(const BatchNormDesc&, const NormOperands&, ConstTensorRef residual, TensorRef y,
                           TensorRef positive) override;
  void do_batch_norm_backward(const BatchNormDesc&, ConstTensorRef dy, ConstTensorRef y, const NormOperands&,
                              const NormGradients&, TensorRef dresidual, Accum accum) override;
  void do_max_pool_forward(const MaxPoolDesc&, ConstTensorRef x, TensorRef y, TensorRef argmax) override;
  void do_max_pool_backward(const MaxPoolDesc&, ConstTensorRef dy, ConstTensorRef argmax, TensorRef dx) override;
  void do_average_pool_forward(const AveragePoolDesc&, ConstTensorRef x, TensorRef y) override;
  void do_average_pool_backward(const AveragePoolDesc&, ConstTensorRef dy, TensorRef dx) override;
  void do_l2_normalize_forward(ConstTensorRef x, TensorRef y, TensorRef norms) override;
  void do_l2_normalize_backward(ConstTensorRef dy, ConstTensorRef y, ConstTensorRef norms, TensorRef dx) override;
  size_t do_objective_workspace(const ObjectiveDesc&) const override;
  void do_objective(const ObjectiveDesc&, ConstTensorRef z, ConstTensorRef labels, TensorRef result, TensorRef dz,
                    Workspace) override;
  void do_cross_entropy(const CrossEntropyDesc&, ConstTensorRef logits, ConstTensorRef labels, TensorRef loss,
                        TensorRef dlogits) override;
  void do_top_k(ConstTensorRef scores, TensorRef values, TensorRef indices) override;
  void do_column_sum(ConstTensorRef x, TensorRef sums, Accum accum) override;
  void do_sum_of_squares(ConstTensorRef x, TensorRef result) override;
  void do_cast(ConstTensorRef from, TensorRef to) override;
  void do_adam(const AdamDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef m,
               TensorRef v) override;
  void do_sgd(const SgdDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity) override;
  void do_lars(const LarsDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity) override;
  void do_guard_update(ConstTensorRef result, TensorRef scalars) override;
  void do_augment(const AugmentDesc&, ConstTensorRef pool, ConstTensorRef views, TensorRef out) override;
};

}  // namespace dcl
