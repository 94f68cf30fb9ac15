// Descriptors of the backend's ops: plain structs with named fields, comparable, and the shapes they imply.
// The contract of each op stands at its declaration in backend.h.
#pragma once

#include <array>
#include <cstdint>
#include <variant>

#include "core/tensor.h"

namespace dcl {

/// Whether an op replaces its gradient output or adds to it.
enum class Accum : uint8_t { overwrite, add };

/// How convolutions of f32 operands multiply: exactly, or with operands rounded to 11 bits of significand (tf32), which
/// tensor cores do several times faster. Sums are f32 either way.
enum class F32Math : uint8_t { exact, tf32 };

enum class ConvPass : uint8_t { forward, backward_data, backward_filter };

/// 2-D convolution, square stride and symmetric padding, no dilation, no bias.
/// x [n,h,w,c], y [n,out_h,out_w,k] dtype (f32, bf16); filter [k,r,s,c] f32, or bf16 (Backend::takes_rounded_filters).
struct ConvDesc {
  int64_t n = 1, h = 1, w = 1, c = 1;
  int64_t k = 1, r = 1, s = 1;
  int64_t stride = 1, pad = 0;
  DType dtype = DType::f32;

  int64_t out_h() const { return (h + 2 * pad - r) / stride + 1; }
  int64_t out_w() const { return (w + 2 * pad - s) / stride + 1; }
  Shape x_shape() const { return {n, h, w, c}; }
  Shape filter_shape() const { return {k, r, s, c}; }
  Shape y_shape() const { return {n, out_h(), out_w(), k}; }
  bool operator==(const ConvDesc&) const = default;
};

/// Inference convolution with everything around it: y = act(conv(x) + bias [+ residual]), act = ReLU if relu.
struct FusedConvDesc {
  ConvDesc conv;
  bool relu = false;
  bool residual = false;
  bool operator==(const FusedConvDesc&) const = default;
};

/// c[m,n] = op(a) op(b) [+ bias[n]] [+ c]; op(a) is m x k, op(b) is k x n; a is stored [k,m] if trans_a, b [n,k] if
/// trans_b.
struct GemmDesc {
  int64_t m = 1, n = 1, k = 1;
  bool trans_a = false, trans_b = false;
  DType dtype = DType::f32;  ///< f32 or f64, the same for all operands
  Accum accum = Accum::overwrite;
  bool operator==(const GemmDesc&) const = default;
};

/// Batch norm over x [rows, channels] (NHWC flattened), the rows cut into `groups` equal consecutive parts that are
/// normalised separately: the two views of a step, which published code passes through the network one by one.
struct BatchNormDesc {
  int64_t rows = 1, channels = 1, groups = 1;
  DType dtype = DType::f32;  ///< of x, y, residual and their gradients; statistics and parameters are f32
  bool relu = false;
  bool residual = false;
  double eps = 1e-5, momentum = 0.1;
  int64_t running_every = 1;  ///< running statistics move with groups 0, running_every, 2 running_every, ...

  Shape x_shape() const { return {rows, channels}; }
  Shape signs_shape() const { return {rows, channels / 8}; }   ///< u8, of batch_norm_apply
  Shape saved_shape() const { return {2, groups, channels}; }  ///< [0] mean, [1] 1/sqrt(var + eps); f32
  bool operator==(const BatchNormDesc&) const = default;
};

/// What a batch norm reads, shapes x_shape(), saved_shape(), [channels] twice; and what its backward pass gives: dx of
/// x's shape, dgamma and dbeta f32 [channels], summed over groups.
struct NormOperands {
  ConstTensorRef x, saved, gamma, beta;
};
struct NormGradients {
  TensorRef dx, dgamma, dbeta;
};
using NormPair = std::array<NormOperands, 2>;
using NormPairGradients = std::array<NormGradients, 2>;

/// A convolution op that a plan will run: one pass, or the inference form.
struct ConvPassUse {
  ConvDesc conv;
  ConvPass pass;
};
using ConvUse = std::variant<ConvPassUse, FusedConvDesc>;

/// Max pooling of x [n,h,w,c] with a square window.
struct MaxPoolDesc {
  int64_t n = 1, h = 1, w = 1, c = 1;
  int64_t window = 3, stride = 2, pad = 1;
  DType dtype = DType::f32;

  int64_t out_h() const { return (h + 2 * pad - window) / stride + 1; }
  int64_t out_w() const { return (w + 2 * pad - window) / stride + 1; }
  Shape x_shape() const { return {n, h, w, c}; }
  Shape y_shape() const { return {n, out_h(), out_w(), c}; }
  bool operator==(const MaxPoolDesc&) const = default;
};

/// Average over all pixels: x [n,h,w,c] dtype -> y [n,c] f32.
struct AveragePoolDesc {
  int64_t n = 1, h = 1, w = 1, c = 1;
  DType dtype = DType::f32;
  bool operator==(const AveragePoolDesc&) const = default;
};

/// decoupled: `biased` without the positive pair in its denominator (Yeh et al., ECCV 2022, L_DC).
/// supcon: the supervised contrastive loss (Khosla et al., NeurIPS 2020, L_out, eq. 2).
enum class ObjectiveKind : uint8_t { biased, debiased, hard, decoupled, unbiased, supcon };
/// Whether the objective looks at labels.
constexpr bool knows_labels(ObjectiveKind kind) {
  return kind == ObjectiveKind::unbiased || kind == ObjectiveKind::supcon;
}
/// How `unbiased` weighs the remaining true negatives: by their mean times N, or as they are.
enum class NegativeScale : uint8_t { mean, sum };

/// The contrastive objective over z [views * batch, dim], view-major, rows of unit length; of one anchor at
/// math/contrastive.h.
/// Views 0 and 1 are the anchors' pairs and the negatives; views 2.. only add positives v to the debiasing term
/// (M = views - 1). labels (where knows_labels): i32 [batch], -1 = unknown, the class of no other image.
struct ObjectiveDesc {
  ObjectiveKind kind = ObjectiveKind::debiased;
  NegativeScale scale = NegativeScale::mean;
  int64_t batch = 1, views = 2, dim = 1;
  double temperature = 0.5, tau_plus = 0.1, beta = 1.0;
  DType dtype = DType::f32;  ///< of z and dz: f32, or f64 for the exact form

  Shape z_shape() const { return {views * batch, dim}; }
  bool operator==(const ObjectiveDesc&) const = default;
};

/// Largest (1 + beta) / temperature (beta for `hard` only): exponentials of similarities must fit double.
inline constexpr double kMaxObjectiveExponent = 600;

/// Entries of the objective's result tensor, f64 [kObjectiveResults].
enum ObjectiveResult : int {
  kLoss = 0,           ///< mean over the 2B anchors
  kClampFraction = 1,  ///< share of anchors whose negative term sits on its floor
  kMeanPositive = 2,   ///< mean cosine similarity of the positive pairs; supcon: of each anchor's positives
  kMeanNegative = 3,   ///< mean cosine similarity of anchors and negatives
  kObjectiveResults = 4,
};

/// Softmax cross-entropy over logits [rows, classes] f32.
struct CrossEntropyDesc {
  int64_t rows = 1, classes = 1;
  bool operator==(const CrossEntropyDesc&) const = default;
};

/// Adam with coupled L2 decay, as torch.optim.Adam.
struct AdamDesc {
  int64_t size = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-6;
  bool operator==(const AdamDesc&) const = default;
};
/// SGD with momentum, coupled L2 decay, dampening 0, as PyTorch.
struct SgdDesc {
  int64_t size = 0;
  double momentum = 0.9, weight_decay = 0.0;
  bool nesterov = false;
  bool operator==(const SgdDesc&) const = default;
};
/// LARS (You et al. 2017) over one parameter tensor: local rate = trust * |w| / (|g| + wd |w|), 1 where excluded.
struct LarsDesc {
  int64_t size = 0;
  double momentum = 0.9, weight_decay = 0.0, trust = 0.001;
  bool adapt = true;  ///< false for biases and batch norm: no decay, local rate 1
  bool operator==(const LarsDesc&) const = default;
};
/// Entries of the optimizers' scalar tensor, f32 [kStepScalars]: values that change every step live in device memory.
enum StepScalar : int {
  kLearningRate = 0,
  kBiasCorrection1 = 1,
  kBiasCorrection2Sqrt = 2,
  kApply = 3,  ///< 0: the optimizers leave weights and state as they are; else 1
  kStepScalars = 4,
};

}  // namespace dcl
