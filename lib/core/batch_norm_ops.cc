// Batch norm, checked for every backend.
#include "core/op_checks.h"
#include "core/profile.h"

namespace dcl {
namespace {

void check_batch_norm(const char* op, const BatchNormDesc& d) {
  expect_activation_type(op, d.dtype);
  require(d.rows > 0 && d.channels > 0 && d.groups > 0 && d.rows % d.groups == 0, op,
          "rows must be a positive multiple of groups");
  require(d.running_every > 0 && d.groups % d.running_every == 0, op, "groups must be a multiple of running_every");
}

void expect_statistics(const char* op, const BatchNormDesc& d, const TensorRef& saved, const TensorRef& running_mean,
                       const TensorRef& running_var) {
  expect(op, "saved", saved, d.saved_shape(), DType::f32);
  require(static_cast<bool>(running_mean) == static_cast<bool>(running_var), op, "running statistics come in pairs");
  require(!running_mean || d.rows > d.groups, op, "a variance needs two rows per group");
  expect_optional(op, "running_mean", running_mean, {d.channels}, DType::f32);
  expect_optional(op, "running_var", running_var, {d.channels}, DType::f32);
}

/// What batch norm reads, forward and backward.
void expect_norm(const char* op, const BatchNormDesc& d, const NormOperands& norm) {
  expect(op, "x", norm.x, d.x_shape(), d.dtype);
  expect(op, "saved", norm.saved, d.saved_shape(), DType::f32);
  expect(op, "gamma", norm.gamma, {d.channels}, DType::f32);
  expect(op, "beta", norm.beta, {d.channels}, DType::f32);
}

void expect_norm_gradients(const char* op, const BatchNormDesc& d, const NormGradients& to) {
  expect(op, "dx", to.dx, d.x_shape(), d.dtype);
  expect(op, "dgamma", to.dgamma, {d.channels}, DType::f32);
  expect(op, "dbeta", to.dbeta, {d.channels}, DType::f32);
}

void expect_pair(const char* op, const BatchNormDesc& d, const NormPair& pair, const ConstTensorRef& positive,
                 const Backend& backend) {
  check_batch_norm(op, d);
  require(backend.keeps_signs(d), op, "this backend does not keep signs for this descriptor");
  expect(op, "positive", positive, d.signs_shape(), DType::u8);
  for (const NormOperands& one : pair) expect_norm(op, d, one);
}

}  // namespace

void Backend::batch_norm_statistics(const BatchNormDesc& d, ConstTensorRef x, TensorRef saved, TensorRef running_mean,
                                    TensorRef running_var) {
  const char* op = "batch_norm_statistics";
  const OpTimer timer(op, *this);
  check_batch_norm(op, d);
  expect(op, "x", x, d.x_shape(), d.dtype);
  expect_statistics(op, d, saved, running_mean, running_var);
  do_batch_norm_statistics(d, x, saved, running_mean, running_var);
}

void Backend::batch_norm_running(const BatchNormDesc& d, ConstTensorRef running_mean, ConstTensorRef running_var,
                                 TensorRef saved) {
  const char* op = "batch_norm_running";
  const OpTimer timer(op, *this);
  check_batch_norm(op, d);
  expect(op, "running_mean", running_mean, {d.channels}, DType::f32);
  expect(op, "running_var", running_var, {d.channels}, DType::f32);
  expect(op, "saved", saved, d.saved_shape(), DType::f32);
  do_batch_norm_running(d, running_mean, running_var, saved);
}

void Backend::batch_norm_apply(const BatchNormDesc& d, const NormOperands& norm, ConstTensorRef residual, TensorRef y,
                               TensorRef positive) {
  const char* op = "batch_norm_apply";
  const OpTimer timer(op, *this);
  check_batch_norm(op, d);
  expect_norm(op, d, norm);
  require(d.residual == static_cast<bool>(residual), op, "residual must be given exactly when the descriptor says so");
  expect_optional(op, "residual", residual, d.x_shape(), d.dtype);
  expect(op, "y", y, d.x_shape(), d.dtype);
  require(!positive || keeps_signs(d), op, "this backend does not keep signs for this descriptor");
  expect_optional(op, "positive", positive, d.signs_shape(), DType::u8);
  do_batch_norm_apply(d, norm, residual, y, positive);
}

void Backend::batch_norm_backward(const BatchNormDesc& d, ConstTensorRef dy, ConstTensorRef y, const NormOperands& norm,
                                  const NormGradients& to, TensorRef dresidual, Accum accum) {
  const char* op = "batch_norm_backward";
  const OpTimer timer(op, *this);
  check_batch_norm(op, d);
  expect(op, "dy", dy, d.x_shape(), d.dtype);
  expect_norm(op, d, norm);
  expect_norm_gradients(op, d, to);
  if (d.relu && d.residual) {
    const bool signs = y.dtype == DType::u8 && keeps_signs(d);
    expect(op, "y", y, signs ? d.signs_shape() : d.x_shape(), signs ? DType::u8 : d.dtype);
  }
  require(d.residual == static_cast<bool>(dresidual), op,
          "dresidual must be given exactly when the descriptor says so");
  expect_optional(op, "dresidual", dresidual, d.x_shape(), d.dtype);
  require(!d.residual || to.dx.data != dresidual.data, op, "dx and dresidual must differ");
  do_batch_norm_backward(d, dy, y, norm, to, dresidual, accum);
}

void Backend::batch_norm_pair_apply(const BatchNormDesc& d, const NormPair& pair, TensorRef y, TensorRef positive) {
  const char* op = "batch_norm_pair_apply";
  const OpTimer timer(op, *this);
  expect_pair(op, d, pair, positive, *this);
  expect(op, "y", y, d.x_shape(), d.dtype);
  do_batch_norm_pair_apply(d, pair, y, positive);
}

void Backend::batch_norm_pair_backward(const BatchNormDesc& d, ConstTensorRef dy, ConstTensorRef positive,
                                       const NormPair& pair, const NormPairGradients& to, Accum accum) {
  const char* op = "batch_norm_pair_backward";
  const OpTimer timer(op, *this);
  expect_pair(op, d, pair, positive, *this);
  expect(op, "dy", dy, d.x_shape(), d.dtype);
  for (const NormGradients& one : to) expect_norm_gradients(op, d, one);
  require(to[0].dx.data != dy.data && to[0].dx.data != to[1].dx.data, op, "dx of the first must be apart");
  do_batch_norm_pair_backward(d, dy, positive, pair, to, accum);
}

void Backend::do_batch_norm_pair_apply(const BatchNormDesc&, const NormPair&, TensorRef, TensorRef) {
  fail(ErrorKind::internal, "this backend has no pairs of batch norms");
}

void Backend::do_batch_norm_pair_backward(const BatchNormDesc&, ConstTensorRef, ConstTensorRef, const NormPair&,
                                          const NormPairGradients&, Accum) {
  fail(ErrorKind::internal, "this backend has no pairs of batch norms");
}

}  // namespace dcl
