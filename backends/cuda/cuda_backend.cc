#include "cuda/cuda_backend.h"

#include "cuda/augment.h"
#include "cuda/elementwise.h"
#include "cuda/gemm.h"
#include "cuda/objective.h"
#include "cuda/optimizers.h"
#include "cuda/pooling.h"
#include "cuda/queue.h"
#include "cuda/rows.h"
#include "cuda/sums.h"

namespace dcl::cuda {
BackendInfo CudaBackend::info() const {
  BackendInfo info{name_, context_.device().name, context_.device().libraries, {}};
  for (auto& library : convolutions_.libraries()) info.libraries.push_back(std::move(library));
  return info;
}

void* CudaBackend::allocate(size_t bytes) { return cuda::allocate(bytes, context_.stream()); }
void CudaBackend::release(void* data, size_t) noexcept { cuda::release(data); }
void CudaBackend::copy_in(TensorRef to, const void* host) {
  copy_to_device(to.data, host, to.bytes(), context_.stream());
}
void CudaBackend::copy_out(void* host, ConstTensorRef from) {
  copy_to_host(host, from.data, from.bytes(), context_.stream());
}
void CudaBackend::enqueue_in(TensorRef to, const void* host) {
  enqueue_to_device(to.data, host, to.bytes(), context_.stream());
}
void CudaBackend::enqueue_out(void* host, ConstTensorRef from) {
  enqueue_to_host(host, from.data, from.bytes(), context_.stream());
}
size_t CudaBackend::free_memory() const { return cuda::free_memory(); }
void* CudaBackend::allocate_host(size_t bytes) { return cuda::allocate_host(bytes); }
void CudaBackend::release_host(void* data, size_t) noexcept { cuda::release_host(data); }
std::unique_ptr<Fence> CudaBackend::make_fence() { return cuda::make_fence(context_); }
std::unique_ptr<StepGraph> CudaBackend::do_capture(const std::function<void()>& step) {
  return cuda::capture(context_, step);
}
void CudaBackend::synchronize() { cuda::synchronize(context_.stream()); }

void CudaBackend::do_copy(ConstTensorRef from, TensorRef to) {
  copy_on_device(to.data, from.data, from.bytes(), context_.stream());
}

void CudaBackend::do_fill(TensorRef to, float value) { cuda::fill(context_, to, value); }

void CudaBackend::do_expect(std::span<const ConvUse> uses) { convolutions_.expect(uses, f32_math()); }

size_t CudaBackend::do_conv_workspace(const ConvDesc& d, ConvPass pass) const {
  return convolutions_.workspace(d, pass, f32_math());
}

void CudaBackend::do_conv_forward(const ConvDesc& d, ConstTensorRef x, ConstTensorRef filter, TensorRef y,
                                  Workspace workspace) {
  convolutions_.forward(d, f32_math(), x, filter, y, workspace);
}

void CudaBackend::do_conv_backward_data(const ConvDesc& d, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx,
                                        Accum accum, Workspace workspace) {
  convolutions_.backward_data(d, f32_math(), dy, filter, dx, accum, workspace);
}

void CudaBackend::do_conv_backward_filter(const ConvDesc& d, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter,
                                          Accum accum, Workspace workspace) {
  convolutions_.backward_filter(d, f32_math(), x, dy, dfilter, accum, workspace);
}

size_t CudaBackend::do_packed_filter_bytes(const FusedConvDesc& d) const {
  return convolutions_.packed_filter_bytes(d);
}

void CudaBackend::do_pack_filter(const FusedConvDesc& d, ConstTensorRef filter, TensorRef packed) {
  convolutions_.pack_filter(d, filter, packed);
}

size_t CudaBackend::do_fused_conv_workspace(const FusedConvDesc& d) const {
  return convolutions_.fused_workspace(d, f32_math());
}

void CudaBackend::do_fused_conv(const FusedConvDesc& d, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                                ConstTensorRef residual, TensorRef y, Workspace workspace) {
  convolutions_.fused(d, f32_math(), x, packed, bias, residual, y, workspace);
}

void CudaBackend::do_gemm(const GemmDesc& d, ConstTensorRef a, ConstTensorRef b, ConstTensorRef bias, TensorRef c) {
  cuda::gemm(context_, d, a, b, bias, c);
}

void CudaBackend::do_batch_norm_statistics(const BatchNormDesc& d, ConstTensorRef x, TensorRef saved,
                                           TensorRef running_mean, TensorRef running_var) {
  cuda::batch_norm_statistics(context_, d, x, saved, running_mean, running_var);
}

void CudaBackend::do_batch_norm_running(const BatchNormDesc& d, ConstTensorRef running_mean, ConstTensorRef running_var,
                                        TensorRef saved) {
  cuda::batch_norm_running(context_, d, running_mean, running_var, saved);
}

void CudaBackend::do_batch_norm_apply(const BatchNormDesc& d, const NormOperands& norm, ConstTensorRef residual,
                                      TensorRef y, TensorRef positive) {
  cuda::batch_norm_apply(context_, d, norm, residual, y, positive);
}

void CudaBackend::do_batch_norm_backward(const BatchNormDesc& d, ConstTensorRef dy, ConstTensorRef y,
                                         const NormOperands& norm, const NormGradients& to, TensorRef dresidual,
                                         Accum accum) {
  cuda::batch_norm_backward(context_, d, dy, y, norm, to, dresidual, accum);
}

void CudaBackend::do_batch_norm_pair_apply(const BatchNormDesc& d, const NormPair& pair, TensorRef y,
                                           TensorRef positive) {
  cuda::batch_norm_pair_apply(context_, d, pair, y, positive);
}

void CudaBackend::do_batch_norm_pair_backward(const BatchNormDesc& d, ConstTensorRef dy, ConstTensorRef positive,
                                              const NormPair& pair, const NormPairGradients& to, Accum accum) {
  cuda::batch_norm_pair_backward(context_, d, dy, positive, pair, to, accum);
}

void CudaBackend::do_max_pool_forward(const MaxPoolDesc& d, ConstTensorRef x, TensorRef y, TensorRef argmax) {
  cuda::max_pool_forward(context_, d, x, y, argmax);
}

void CudaBackend::do_max_pool_backward(const MaxPoolDesc& d, ConstTensorRef dy, ConstTensorRef argmax, TensorRef dx) {
  cuda::max_pool_backward(context_, d, dy, argmax, dx);
}

void CudaBackend::do_average_pool_forward(const AveragePoolDesc& d, ConstTensorRef x, TensorRef y) {
  cuda::average_pool_forward(context_, d, x, y);
}

void CudaBackend::do_average_pool_backward(const AveragePoolDesc& d, ConstTensorRef dy, TensorRef dx) {
  cuda::average_pool_backward(context_, d, dy, dx);
}

void CudaBackend::do_l2_normalize_forward(ConstTensorRef x, TensorRef y, TensorRef norms) {
  cuda::l2_normalize_forward(context_, x, y, norms);
}

void CudaBackend::do_l2_normalize_backward(ConstTensorRef dy, ConstTensorRef y, ConstTensorRef norms, TensorRef dx) {
  cuda::l2_normalize_backward(context_, dy, y, norms, dx);
}

size_t CudaBackend::do_objective_workspace(const ObjectiveDesc& d) const { return cuda::objective_workspace(d); }

void CudaBackend::do_objective(const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
                               TensorRef dz, Workspace workspace) {
  cuda::objective(context_, d, z, labels, result, dz, workspace);
}

void CudaBackend::do_cross_entropy(const CrossEntropyDesc& d, ConstTensorRef logits, ConstTensorRef labels,
                                   TensorRef loss, TensorRef dlogits) {
  cuda::cross_entropy(context_, d, logits, labels, loss, dlogits);
}

void CudaBackend::do_top_k(ConstTensorRef scores, TensorRef values, TensorRef indices) {
  cuda::top_k(context_, scores, values, indices);
}

void CudaBackend::do_column_sum(ConstTensorRef x, TensorRef sums, Accum accum) {
  cuda::column_sum(context_, x, sums, accum);
}

void CudaBackend::do_sum_of_squares(ConstTensorRef x, TensorRef result) { cuda::sum_of_squares(context_, x, result); }

void CudaBackend::do_cast(ConstTensorRef from, TensorRef to) {
  if (from.dtype == to.dtype) return do_copy(from, to);
  cuda::cast(context_, from, to);
}

void CudaBackend::do_adam(const AdamDesc& d, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef m,
                          TensorRef v) {
  cuda::adam(context_, d, scalars, w, g, m, v);
}

void CudaBackend::do_sgd(const SgdDesc& d, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity) {
  cuda::sgd(context_, d, scalars, w, g, velocity);
}

void CudaBackend::do_lars(const LarsDesc& d, ConstTensorRef scalars, TensorRef w, ConstTensorRef g,
                          TensorRef velocity) {
  cuda::lars(context_, d, scalars, w, g, velocity);
}

void CudaBackend::do_guard_update(ConstTensorRef result, TensorRef scalars) {
  cuda::guard_update(context_, result, scalars);
}

void CudaBackend::do_augment(const AugmentDesc& d, ConstTensorRef pool, ConstTensorRef views, TensorRef out) {
  cuda::augment(context_, d, pool, views, out);
}

}  // namespace dcl::cuda
