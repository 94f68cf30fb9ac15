// What a device can do: about thirty ops on caller-owned memory. Public ops are non-virtual: they check shapes and
// dtypes once for every backend, count time when profiling, and call the virtual do_ op.
//
// Contracts common to all ops
//  * Tensors are contiguous; outputs must not overlap inputs unless the op says so.
//  * Ops enqueue work in order; on a device, results are complete after synchronize(), copy_out() or a Fence.
//  * No op allocates, except the first call with a new descriptor (primitives are created then). Scratch memory is the
//    caller's: `workspace` has at least the bytes that the matching *_workspace() call states for the number of threads
//    in effect; it may be null when that is 0.
//  * Reductions have a fixed order: the same inputs give the same bits on the same device with the same thread count.
//  * Violated shapes or dtypes throw Error{internal} naming op, operand, shape and expectation.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/ops.h"
#include "core/queue.h"
#include "math/view_params.h"

namespace dcl {

struct Workspace {
  void* data = nullptr;
  size_t bytes = 0;
};

/// For `dcl-info` and run records.
struct BackendInfo {
  std::string name;                                            ///< "eigen", "onednn", "cuda"
  std::string device;                                          ///< CPU or GPU in words
  std::vector<std::pair<std::string, std::string>> libraries;  ///< library name, run-time version
  std::vector<std::string> overrides;  ///< ops this backend does itself rather than inherit; empty: all
  /// What the bits of its results depend on besides its name ("processor", "threads", ...); empty: device and
  /// libraries.
  std::vector<std::pair<std::string, std::string>> bits_depend_on;
};

/// Names of the ops that every backend has, as messages, profiles and BackendInfo::overrides spell them.
// clang-format off
inline constexpr const char* kBackendOps[] = {
    "copy", "fill", "conv_forward", "conv_backward_data", "conv_backward_filter", "pack_filter", "fused_conv", "gemm",
    "batch_norm_statistics", "batch_norm_running", "batch_norm_apply", "batch_norm_backward", "max_pool_forward",
    "max_pool_backward", "average_pool_forward", "average_pool_backward", "l2_normalize_forward",
    "l2_normalize_backward", "objective", "cross_entropy", "top_k", "column_sum", "sum_of_squares", "cast", "adam",
    "sgd", "lars", "guard_update", "augment"};
// clang-format on

class Backend {
 public:
  virtual ~Backend() = default;
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual BackendInfo info() const = 0;
  /// Takes effect for workspaces and ops asked for afterwards. Throws Error{environment} where the device has no tf32.
  void set_f32_math(F32Math math);
  F32Math f32_math() const { return f32_math_; }
  /// Whether it has tensor cores that multiply tf32, and with them bf16.
  virtual bool has_tf32() const { return false; }

  // ---- Memory -------------------------------------------------------------------------------------------------
  /// Zeroed memory, 64-byte aligned; throws Error{out_of_memory} naming the size. Use Buffer instead.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* data, size_t bytes) noexcept = 0;
  /// Whether memory is out of the host's reach and work goes on after an op has returned.
  virtual bool on_device() const { return false; }
  /// Bytes that allocate() can still give; 0 when unknown.
  virtual size_t free_memory() const { return 0; }
  /// Memory of the host for enqueue_in and enqueue_out, zeroed, 64-byte aligned. Use HostBuffer instead.
  virtual void* allocate_host(size_t bytes);
  virtual void release_host(void* data, size_t bytes) noexcept;
  /// Copies between any memory of the host and the backend's; the host's is free to change, or holds the values, on
  /// return.
  virtual void copy_in(TensorRef to, const void* host) = 0;
  virtual void copy_out(void* host, ConstTensorRef from) = 0;
  /// The same in the order of the ops, without waiting. host: inside a HostBuffer, left alone until the copy is
  /// complete.
  virtual void enqueue_in(TensorRef to, const void* host) { copy_in(to, host); }
  virtual void enqueue_out(void* host, ConstTensorRef from) { copy_out(host, from); }
  /// to and from have the same shape and dtype.
  void copy(ConstTensorRef from, TensorRef to);
  void fill(TensorRef to, float value);  ///< f32, bf16, f64

  // ---- Order of work --------------------------------------------------------------------------------------------
  /// Returns when everything enqueued is complete.
  virtual void synchronize() {}
  virtual std::unique_ptr<Fence> make_fence();
  /// Records what `step` enqueues, without doing it. `step` has run before with the same descriptors and memory, and
  /// calls ops only (no allocation, no copy to or from the host, no synchronize()). Everything it used must outlive the
  /// graph. A device freezes all arguments: what changes from step to step must lie in backend memory. When profiling,
  /// nothing is recorded and replay() calls `step`, so that ops are timed.
  std::unique_ptr<StepGraph> capture(const std::function<void()>& step);

  // ---- Convolution --------------------------------------------------------------------------------------------
  /// The workspaces of many convolutions, which a backend that compiles or times kernels prepares side by side: faster
  /// than asking for one after the other.
  std::vector<size_t> conv_workspaces(std::span<const ConvUse> uses);
  size_t conv_workspace(const ConvDesc&, ConvPass) const;
  /// Whether the filter of a bf16 convolution may be bf16, and its gradient too where nothing is added to it: f32 is
  /// rounded to bf16 on the way in and comes from bf16 on the way out, which is done for many filters at once then.
  virtual bool takes_rounded_filters() const { return false; }
  void conv_forward(const ConvDesc&, ConstTensorRef x, ConstTensorRef filter, TensorRef y, Workspace);
  /// accum add: dx += ... (the gradient that joins a residual branch).
  void conv_backward_data(const ConvDesc&, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx, Accum, Workspace);
  /// dfilter f32 [k,r,s,c].
  void conv_backward_filter(const ConvDesc&, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter, Accum, Workspace);
  /// Inference form: the filter is packed once, opaque to the caller (u8 [packed_filter_bytes]), for one descriptor,
  /// its batch included, and the number of threads in effect.
  size_t packed_filter_bytes(const FusedConvDesc&) const;
  void pack_filter(const FusedConvDesc&, ConstTensorRef filter, TensorRef packed);
  size_t fused_conv_workspace(const FusedConvDesc&) const;
  /// bias f32 [k]; residual (y's shape) only when the descriptor says so; residual may be y itself.
  void fused_conv(const FusedConvDesc&, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                  ConstTensorRef residual, TensorRef y, Workspace);

  // ---- Matrix product -----------------------------------------------------------------------------------------
  /// bias optional [n].
  void gemm(const GemmDesc&, ConstTensorRef a, ConstTensorRef b, ConstTensorRef bias, TensorRef c);

  // ---- Batch norm ---------------------------------------------------------------------------------------------
  /// Statistics of x per group into saved; running statistics (f32 [channels], optional both) are updated once per
  /// group in group order with the unbiased variance, as PyTorch.
  void batch_norm_statistics(const BatchNormDesc&, ConstTensorRef x, TensorRef saved, TensorRef running_mean,
                             TensorRef running_var);
  /// saved from running statistics (evaluation), the same for every group.
  void batch_norm_running(const BatchNormDesc&, ConstTensorRef running_mean, ConstTensorRef running_var,
                          TensorRef saved);
  /// y = [relu](gamma * (x - mean) * inv_std + beta [+ residual]). y may be x or residual.
  /// positive: nothing, or u8 [rows, channels / 8], of which bit k of an element tells whether y is above 0 in the k-th
  /// of its channels; where keeps_signs() says so.
  void batch_norm_apply(const BatchNormDesc&, const NormOperands&, ConstTensorRef residual, TensorRef y,
                        TensorRef positive = {});
  /// Whether batch_norm_apply writes `positive`, and batch_norm_backward reads it.
  virtual bool keeps_signs(const BatchNormDesc&) const { return false; }
  /// dy: gradient of y. y is needed (for the ReLU mask) only with relu and residual both set, and may be replaced by
  /// the `positive` that batch_norm_apply wrote; without residual the mask is recomputed from x. dresidual (with
  /// residual) receives dy masked by ReLU and may be dy itself; dx may be dy when there is no residual. `accum`: of
  /// dgamma and dbeta.
  void batch_norm_backward(const BatchNormDesc&, ConstTensorRef dy, ConstTensorRef y, const NormOperands&,
                           const NormGradients&, TensorRef dresidual, Accum accum);
  /// y = relu(batch norm of the first + batch norm of the second), as batch_norm_apply with the second's result for a
  /// residual, which is not rounded on the way; and backward for both, of which only dx of the second may be dy. Where
  /// keeps_signs() of the descriptor.
  void batch_norm_pair_apply(const BatchNormDesc&, const NormPair&, TensorRef y, TensorRef positive);
  void batch_norm_pair_backward(const BatchNormDesc&, ConstTensorRef dy, ConstTensorRef positive, const NormPair&,
                                const NormPairGradients&, Accum accum);

  // ---- Pooling ------------------------------------------------------------------------------------------------
  /// argmax u8 [y's shape]: position inside the window (first maximum in row order); padding never wins.
  void max_pool_forward(const MaxPoolDesc&, ConstTensorRef x, TensorRef y, TensorRef argmax);
  void max_pool_backward(const MaxPoolDesc&, ConstTensorRef dy, ConstTensorRef argmax, TensorRef dx);
  void average_pool_forward(const AveragePoolDesc&, ConstTensorRef x, TensorRef y);
  void average_pool_backward(const AveragePoolDesc&, ConstTensorRef dy, TensorRef dx);

  // ---- Rows ---------------------------------------------------------------------------------------------------
  /// y = x / max(|x|, 1e-12) per row, f32 [rows, dim] (F.normalize); norms f32 [rows] receives max(|x|, 1e-12). y may
  /// be x.
  void l2_normalize_forward(ConstTensorRef x, TensorRef y, TensorRef norms);
  /// y: the forward result.
  void l2_normalize_backward(ConstTensorRef dy, ConstTensorRef y, ConstTensorRef norms, TensorRef dx);
  size_t objective_workspace(const ObjectiveDesc&) const;
  /// result f64 [kObjectiveResults]; dz (z's shape and dtype) may be null: value only. labels i32 [batch], where
  /// knows_labels.
  void objective(const ObjectiveDesc&, ConstTensorRef z, ConstTensorRef labels, TensorRef result, TensorRef dz,
                 Workspace);
  /// loss f32 [rows] per row; dlogits = (softmax - onehot) / rows, may be null. labels i32 [rows] in [0, classes).
  void cross_entropy(const CrossEntropyDesc&, ConstTensorRef logits, ConstTensorRef labels, TensorRef loss,
                     TensorRef dlogits);
  /// The k largest of each row of scores f32 [rows, n], descending, equal scores by smaller index first.
  void top_k(ConstTensorRef scores, TensorRef values, TensorRef indices);
  /// sums f32 [columns] of x f32 [rows, columns].
  void column_sum(ConstTensorRef x, TensorRef sums, Accum accum);
  /// result f64 [1]: sum of squares of x f32; not finite when any element is not.
  void sum_of_squares(ConstTensorRef x, TensorRef result);
  /// Between f32 and bf16 (round to nearest even).
  void cast(ConstTensorRef from, TensorRef to);

  // ---- Optimizers: in place over f32 [size]; scalars f32 [kStepScalars] in backend memory; kApply 0: nothing changes
  // ----
  void adam(const AdamDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef m, TensorRef v);
  /// velocity starts as zeros, which equals PyTorch's first-step rule for dampening 0.
  void sgd(const SgdDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity);
  void lars(const LarsDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity);

  /// kApply becomes 0 when the loss in `result` (of objective()) is not finite, and stays what it is otherwise.
  void guard_update(ConstTensorRef result, TensorRef scalars);

  // ---- Augmentation -------------------------------------------------------------------------------------------
  /// One view per entry of `views`, ViewParams as u8 [n, sizeof(ViewParams)] in backend memory that have passed
  /// check_views: crop, resize, flip, jitter, gray, blur, normalise, byte-equal to Pillow and OpenCV before
  /// normalising. pool: u8 images. out [n, h, w, 3], f32 or bf16. On CPU backends: thread-safe and serial, so that
  /// loaders choose their own threads.
  void augment(const AugmentDesc&, ConstTensorRef pool, ConstTensorRef views, TensorRef out);

 protected:
  virtual std::unique_ptr<StepGraph> do_capture(const std::function<void()>& step);

  virtual void do_copy(ConstTensorRef from, TensorRef to) = 0;
  virtual void do_fill(TensorRef to, float value) = 0;
  /// Notice of workspaces that will be asked for.
  virtual void do_expect(std::span<const ConvUse>) {}
  virtual size_t do_conv_workspace(const ConvDesc&, ConvPass) const = 0;
  virtual void do_conv_forward(const ConvDesc&, ConstTensorRef x, ConstTensorRef filter, TensorRef y, Workspace) = 0;
  virtual void do_conv_backward_data(const ConvDesc&, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx, Accum,
                                     Workspace) = 0;
  virtual void do_conv_backward_filter(const ConvDesc&, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter, Accum,
                                       Workspace) = 0;
  virtual size_t do_packed_filter_bytes(const FusedConvDesc&) const = 0;
  virtual void do_pack_filter(const FusedConvDesc&, ConstTensorRef filter, TensorRef packed) = 0;
  virtual size_t do_fused_conv_workspace(const FusedConvDesc&) const = 0;
  virtual void do_fused_conv(const FusedConvDesc&, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                             ConstTensorRef residual, TensorRef y, Workspace) = 0;
  virtual void do_gemm(const GemmDesc&, ConstTensorRef a, ConstTensorRef b, ConstTensorRef bias, TensorRef c) = 0;
  virtual void do_batch_norm_statistics(const BatchNormDesc&, ConstTensorRef x, TensorRef saved, TensorRef running_mean,
                                        TensorRef running_var) = 0;
  virtual void do_batch_norm_running(const BatchNormDesc&, ConstTensorRef running_mean, ConstTensorRef running_var,
                                     TensorRef saved) = 0;
  virtual void do_batch_norm_apply(const BatchNormDesc&, const NormOperands&, ConstTensorRef residual, TensorRef y,
                                   TensorRef positive) = 0;
  virtual void do_batch_norm_backward(const BatchNormDesc&, ConstTensorRef dy, ConstTensorRef y, const NormOperands&,
                                      const NormGradients&, TensorRef dresidual, Accum accum) = 0;
  virtual void do_batch_norm_pair_apply(const BatchNormDesc&, const NormPair&, TensorRef y, TensorRef positive);
  virtual void do_batch_norm_pair_backward(const BatchNormDesc&, ConstTensorRef dy, ConstTensorRef positive,
                                           const NormPair&, const NormPairGradients&, Accum accum);
  virtual void do_max_pool_forward(const MaxPoolDesc&, ConstTensorRef x, TensorRef y, TensorRef argmax) = 0;
  virtual void do_max_pool_backward(const MaxPoolDesc&, ConstTensorRef dy, ConstTensorRef argmax, TensorRef dx) = 0;
  virtual void do_average_pool_forward(const AveragePoolDesc&, ConstTensorRef x, TensorRef y) = 0;
  virtual void do_average_pool_backward(const AveragePoolDesc&, ConstTensorRef dy, TensorRef dx) = 0;
  virtual void do_l2_normalize_forward(ConstTensorRef x, TensorRef y, TensorRef norms) = 0;
  virtual void do_l2_normalize_backward(ConstTensorRef dy, ConstTensorRef y, ConstTensorRef norms, TensorRef dx) = 0;
  virtual size_t do_objective_workspace(const ObjectiveDesc&) const = 0;
  virtual void do_objective(const ObjectiveDesc&, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
                            TensorRef dz, Workspace) = 0;
  virtual void do_cross_entropy(const CrossEntropyDesc&, ConstTensorRef logits, ConstTensorRef labels, TensorRef loss,
                                TensorRef dlogits) = 0;
  virtual void do_top_k(ConstTensorRef scores, TensorRef values, TensorRef indices) = 0;
  virtual void do_column_sum(ConstTensorRef x, TensorRef sums, Accum accum) = 0;
  virtual void do_sum_of_squares(ConstTensorRef x, TensorRef result) = 0;
  virtual void do_cast(ConstTensorRef from, TensorRef to) = 0;
  virtual void do_adam(const AdamDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef m,
                       TensorRef v) = 0;
  virtual void do_sgd(const SgdDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity) = 0;
  virtual void do_lars(const LarsDesc&, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity) = 0;
  virtual void do_guard_update(ConstTensorRef result, TensorRef scalars) = 0;
  virtual void do_augment(const AugmentDesc&, ConstTensorRef pool, ConstTensorRef views, TensorRef out) = 0;

 private:
  F32Math f32_math_ = F32Math::exact;
};

/// Shape of `count` views as augment() takes them.
inline Shape views_shape(int64_t count) { return {count, static_cast<int64_t>(sizeof(ViewParams))}; }
/// Views in memory of the host, for backends whose memory that is, and for copying.
inline ConstTensorRef views_tensor(std::span<const ViewParams> views) {
  return {views.data(), views_shape(static_cast<int64_t>(views.size())), DType::u8};
}
/// Throws Error{internal} when a view does not lie in a pool of `pool_bytes` or has a parameter out of range.
void check_views(const AugmentDesc&, std::span<const ViewParams> views, int64_t pool_bytes);

}  // namespace dcl
