// The CUDA backend: shapes are checked by Backend, the work is done by the families (batch_norm.h, rows.h, ...).
// Built twice: against the CUDA runtime (dcl_cuda.so) and against the emulator (tests).
#pragma once

#include "core/backend.h"
#include "cuda/batch_norm.h"
#include "cuda/context.h"
#include "cuda/convolution.h"

namespace dcl::cuda {

class CudaBackend final : public Backend {
 public:
  /// `name`: "cuda", or "cuda_emulated". Throws Error{environment} when there is no usable device.
  explicit CudaBackend(const char* name) : name_(name) {}

  BackendInfo info() const override;
  void* allocate(size_t bytes) override;
  void release(void* data, size_t bytes) noexcept override;
  bool on_device() const override { return true; }
  bool takes_rounded_filters() const override { return true; }
  bool keeps_signs(const BatchNormDesc& d) const override { return cuda::keeps_signs(d); }
  size_t free_memory() const override;
  void* allocate_host(size_t bytes) override;
  void release_host(void* data, size_t bytes) noexcept override;
  void copy_in(TensorRef to, const void* host) override;
  void copy_out(void* host, ConstTensorRef from) override;
  void enqueue_in(TensorRef to, const void* host) override;
  void enqueue_out(void* host, ConstTensorRef from) override;
  void synchronize() override;
  std::unique_ptr<Fence> make_fence() override;

 protected:
  bool has_tf32() const override { return context_.device().capability >= 80; }
  std::unique_ptr<StepGraph> do_capture(const std::function<void()>& step) override;
  void do_copy(ConstTensorRef from, TensorRef to) override;
  void do_fill(TensorRef to, float value) override;
  void do_expect(std::span<const ConvUse> uses) override;
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
  void do_batch_norm_pair_apply(const BatchNormDesc&, const NormPair&, TensorRef y, TensorRef positive) override;
  void do_batch_norm_pair_backward(const BatchNormDesc&, ConstTensorRef dy, ConstTensorRef positive, const NormPair&,
                                   const NormPairGradients&, Accum accum) override;
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

 private:
  const char* name_;
  Context context_;
  mutable Convolutions convolutions_{context_};  // stating a workspace makes the plan
};

}  // namespace dcl::cuda
