// The ops of a network, checked for every backend: convolution, matrix product, batch norm, pooling.
#include "core/op_checks.h"
#include "core/profile.h"

namespace dcl {
namespace {

void check_conv(const char* op, const ConvDesc& d) {
  expect_activation_type(op, d.dtype);
  require(d.n > 0 && d.h > 0 && d.w > 0 && d.c > 0 && d.k > 0 && d.r > 0 && d.s > 0 && d.stride > 0 && d.pad >= 0, op,
          "extents must be positive");
  require(d.h + 2 * d.pad >= d.r && d.w + 2 * d.pad >= d.s, op, "filter is larger than the padded image");
}

/// A filter or its gradient.
void expect_filter(const char* op, const char* name, const ConstTensorRef& filter, const ConvDesc& d,
                   const Backend& backend) {
  const bool rounded = filter.dtype == DType::bf16 && d.dtype == DType::bf16 && backend.takes_rounded_filters();
  expect(op, name, filter, d.filter_shape(), rounded ? DType::bf16 : DType::f32);
}

void check_batch_norm(const char* op, const BatchNormDesc& d) {
  expect_activation_type(op, d.dtype);
  require(d.rows > 0 && d.channels > 0 && d.groups > 0 && d.rows % d.groups == 0, op,
          "rows must be a positive multiple of groups");
  require(d.running_every > 0 && d.groups % d.running_every == 0, op, "groups must be a multiple of running_every");
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

void check_statistics(const char* op, const ConvDesc& conv, const BatchNormDesc& norm) {
  check_conv(op, conv);
  check_batch_norm(op, norm);
  require(norm.rows == conv.n * conv.out_h() * conv.out_w() && norm.channels == conv.k && norm.dtype == conv.dtype, op,
          "batch norm must be of the convolution's output");
}

void expect_statistics(const char* op, const BatchNormDesc& d, const TensorRef& saved, const TensorRef& running_mean,
                       const TensorRef& running_var) {
  expect(op, "saved", saved, d.saved_shape(), DType::f32);
  require(static_cast<bool>(running_mean) == static_cast<bool>(running_var), op, "running statistics come in pairs");
  require(!running_mean || d.rows > d.groups, op, "a variance needs two rows per group");
  expect_optional(op, "running_mean", running_mean, {d.channels}, DType::f32);
  expect_optional(op, "running_var", running_var, {d.channels}, DType::f32);
}

}  // namespace

std::vector<size_t> Backend::conv_workspaces(std::span<const ConvUse> uses) {
  struct Bytes {
    const Backend& backend;
    size_t operator()(const ConvPassUse& use) const { return backend.conv_workspace(use.conv, use.pass); }
    size_t operator()(const ConvStatisticsUse& use) const {
      return backend.conv_statistics_workspace(use.conv, use.norm);
    }
    size_t operator()(const FusedConvDesc& use) const { return backend.fused_conv_workspace(use); }
  };
  do_expect(uses);
  std::vector<size_t> bytes;
  for (const ConvUse& use : uses) bytes.push_back(std::visit(Bytes{*this}, use));
  return bytes;
}

size_t Backend::conv_workspace(const ConvDesc& d, ConvPass pass) const {
  check_conv("conv_workspace", d);
  return do_conv_workspace(d, pass);
}

void Backend::conv_forward(const ConvDesc& d, ConstTensorRef x, ConstTensorRef filter, TensorRef y,
                           Workspace workspace) {
  const char* op = "conv_forward";
  const OpTimer timer(op, *this);
  check_conv(op, d);
  expect(op, "x", x, d.x_shape(), d.dtype);
  expect_filter(op, "filter", filter, d, *this);
  expect(op, "y", y, d.y_shape(), d.dtype);
  expect_workspace(op, workspace, do_conv_workspace(d, ConvPass::forward));
  do_conv_forward(d, x, filter, y, workspace);
}

size_t Backend::conv_statistics_workspace(const ConvDesc& d, const BatchNormDesc& norm) const {
  check_statistics("conv_statistics_workspace", d, norm);
  return do_conv_statistics_workspace(d, norm).value_or(do_conv_workspace(d, ConvPass::forward));
}

void Backend::conv_forward_statistics(const ConvDesc& d, const BatchNormDesc& norm, ConstTensorRef x,
                                      ConstTensorRef filter, TensorRef y, TensorRef saved, TensorRef running_mean,
                                      TensorRef running_var, Workspace workspace) {
  const char* op = "conv_forward_statistics";
  check_statistics(op, d, norm);
  const auto needed = do_conv_statistics_workspace(d, norm);
  if (!needed) {
    conv_forward(d, x, filter, y, workspace);
    y.shape = norm.x_shape();
    return batch_norm_statistics(norm, y, saved, running_mean, running_var);
  }
  const OpTimer timer(op, *this);
  expect(op, "x", x, d.x_shape(), d.dtype);
  expect_filter(op, "filter", filter, d, *this);
  expect(op, "y", y, d.y_shape(), d.dtype);
  expect_statistics(op, norm, saved, running_mean, running_var);
  expect_workspace(op, workspace, *needed);
  do_conv_forward_statistics(d, norm, x, filter, y, saved, running_mean, running_var, workspace);
}

void Backend::do_conv_forward_statistics(const ConvDesc&, const BatchNormDesc&, ConstTensorRef, ConstTensorRef,
                                         TensorRef, TensorRef, TensorRef, TensorRef, Workspace) {
  fail(ErrorKind::internal, "this backend has no convolution with statistics");
}

void Backend::conv_backward_data(const ConvDesc& d, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx, Accum accum,
                                 Workspace workspace) {
  const char* op = "conv_backward_data";
  const OpTimer timer(op, *this);
  check_conv(op, d);
  expect(op, "dy", dy, d.y_shape(), d.dtype);
  expect_filter(op, "filter", filter, d, *this);
  expect(op, "dx", dx, d.x_shape(), d.dtype);
  expect_workspace(op, workspace, do_conv_workspace(d, ConvPass::backward_data));
  do_conv_backward_data(d, dy, filter, dx, accum, workspace);
}

void Backend::conv_backward_filter(const ConvDesc& d, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter,
                                   Accum accum, Workspace workspace) {
  const char* op = "conv_backward_filter";
  const OpTimer timer(op, *this);
  check_conv(op, d);
  expect(op, "x", x, d.x_shape(), d.dtype);
  expect(op, "dy", dy, d.y_shape(), d.dtype);
  expect_filter(op, "dfilter", dfilter, d, *this);
  require(dfilter.dtype == DType::f32 || accum == Accum::overwrite, op, "only f32 is added to");
  expect_workspace(op, workspace, do_conv_workspace(d, ConvPass::backward_filter));
  do_conv_backward_filter(d, x, dy, dfilter, accum, workspace);
}

size_t Backend::packed_filter_bytes(const FusedConvDesc& d) const {
  check_conv("packed_filter_bytes", d.conv);
  return do_packed_filter_bytes(d);
}

void Backend::pack_filter(const FusedConvDesc& d, ConstTensorRef filter, TensorRef packed) {
  const char* op = "pack_filter";
  const OpTimer timer(op, *this);
  check_conv(op, d.conv);
  expect(op, "filter", filter, d.conv.filter_shape(), DType::f32);
  expect(op, "packed", packed, {static_cast<int64_t>(do_packed_filter_bytes(d))}, DType::u8);
  do_pack_filter(d, filter, packed);
}

size_t Backend::fused_conv_workspace(const FusedConvDesc& d) const {
  check_conv("fused_conv_workspace", d.conv);
  return do_fused_conv_workspace(d);
}

void Backend::fused_conv(const FusedConvDesc& d, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                         ConstTensorRef residual, TensorRef y, Workspace workspace) {
  const char* op = "fused_conv";
  const OpTimer timer(op, *this);
  check_conv(op, d.conv);
  expect(op, "x", x, d.conv.x_shape(), d.conv.dtype);
  expect(op, "packed", packed, {static_cast<int64_t>(do_packed_filter_bytes(d))}, DType::u8);
  expect(op, "bias", bias, {d.conv.k}, DType::f32);
  require(d.residual == static_cast<bool>(residual), op, "residual must be given exactly when the descriptor says so");
  expect_optional(op, "residual", residual, d.conv.y_shape(), d.conv.dtype);
  expect(op, "y", y, d.conv.y_shape(), d.conv.dtype);
  expect_workspace(op, workspace, do_fused_conv_workspace(d));
  do_fused_conv(d, x, packed, bias, residual, y, workspace);
}

void Backend::gemm(const GemmDesc& d, ConstTensorRef a, ConstTensorRef b, ConstTensorRef bias, TensorRef c) {
  const char* op = "gemm";
  const OpTimer timer(op, *this);
  require(d.dtype == DType::f32 || d.dtype == DType::f64, op, "dtype must be f32 or f64");
  require(d.m > 0 && d.n > 0 && d.k > 0, op, "extents must be positive");
  expect(op, "a", a, d.trans_a ? Shape{d.k, d.m} : Shape{d.m, d.k}, d.dtype);
  expect(op, "b", b, d.trans_b ? Shape{d.n, d.k} : Shape{d.k, d.n}, d.dtype);
  expect_optional(op, "bias", bias, {d.n}, d.dtype);
  expect(op, "c", c, {d.m, d.n}, d.dtype);
  do_gemm(d, a, b, bias, c);
}

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

void Backend::batch_norm_apply(const BatchNormDesc& d, ConstTensorRef x, ConstTensorRef saved, ConstTensorRef gamma,
                               ConstTensorRef beta, ConstTensorRef residual, TensorRef y, TensorRef positive) {
  const char* op = "batch_norm_apply";
  const OpTimer timer(op, *this);
  check_batch_norm(op, d);
  expect_norm(op, d, {x, saved, gamma, beta});
  require(d.residual == static_cast<bool>(residual), op, "residual must be given exactly when the descriptor says so");
  expect_optional(op, "residual", residual, d.x_shape(), d.dtype);
  expect(op, "y", y, d.x_shape(), d.dtype);
  require(!positive || keeps_signs(d), op, "this backend does not keep signs for this descriptor");
  expect_optional(op, "positive", positive, d.signs_shape(), DType::u8);
  do_batch_norm_apply(d, x, saved, gamma, beta, residual, y, positive);
}

void Backend::batch_norm_backward(const BatchNormDesc& d, ConstTensorRef dy, ConstTensorRef x, ConstTensorRef y,
                                  ConstTensorRef saved, ConstTensorRef gamma, ConstTensorRef beta, TensorRef dx,
                                  TensorRef dresidual, TensorRef dgamma, TensorRef dbeta, Accum accum) {
  const char* op = "batch_norm_backward";
  const OpTimer timer(op, *this);
  check_batch_norm(op, d);
  expect(op, "dy", dy, d.x_shape(), d.dtype);
  expect_norm(op, d, {x, saved, gamma, beta});
  expect_norm_gradients(op, d, {dx, dgamma, dbeta});
  if (d.relu && d.residual) {
    const bool signs = y.dtype == DType::u8 && keeps_signs(d);
    expect(op, "y", y, signs ? d.signs_shape() : d.x_shape(), signs ? DType::u8 : d.dtype);
  }
  require(d.residual == static_cast<bool>(dresidual), op,
          "dresidual must be given exactly when the descriptor says so");
  expect_optional(op, "dresidual", dresidual, d.x_shape(), d.dtype);
  require(!d.residual || dx.data != dresidual.data, op, "dx and dresidual must differ");
  do_batch_norm_backward(d, dy, x, y, saved, gamma, beta, dx, dresidual, dgamma, dbeta, accum);
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

void Backend::max_pool_forward(const MaxPoolDesc& d, ConstTensorRef x, TensorRef y, TensorRef argmax) {
  const char* op = "max_pool_forward";
  const OpTimer timer(op, *this);
  expect_activation_type(op, d.dtype);
  require(d.window > 0 && d.window <= 15 && d.stride > 0 && 2 * d.pad < d.window + 1, op,
          "window must be 1..15, pad at most half of it");
  expect(op, "x", x, d.x_shape(), d.dtype);
  expect(op, "y", y, d.y_shape(), d.dtype);
  expect(op, "argmax", argmax, d.y_shape(), DType::u8);
  do_max_pool_forward(d, x, y, argmax);
}

void Backend::max_pool_backward(const MaxPoolDesc& d, ConstTensorRef dy, ConstTensorRef argmax, TensorRef dx) {
  const char* op = "max_pool_backward";
  const OpTimer timer(op, *this);
  expect(op, "dy", dy, d.y_shape(), d.dtype);
  expect(op, "argmax", argmax, d.y_shape(), DType::u8);
  expect(op, "dx", dx, d.x_shape(), d.dtype);
  do_max_pool_backward(d, dy, argmax, dx);
}

void Backend::average_pool_forward(const AveragePoolDesc& d, ConstTensorRef x, TensorRef y) {
  const char* op = "average_pool_forward";
  const OpTimer timer(op, *this);
  expect_activation_type(op, d.dtype);
  expect(op, "x", x, {d.n, d.h, d.w, d.c}, d.dtype);
  expect(op, "y", y, {d.n, d.c}, DType::f32);
  do_average_pool_forward(d, x, y);
}

void Backend::average_pool_backward(const AveragePoolDesc& d, ConstTensorRef dy, TensorRef dx) {
  const char* op = "average_pool_backward";
  const OpTimer timer(op, *this);
  expect_activation_type(op, d.dtype);
  expect(op, "dy", dy, {d.n, d.c}, DType::f32);
  expect(op, "dx", dx, {d.n, d.h, d.w, d.c}, d.dtype);
  do_average_pool_backward(d, dy, dx);
}

}  // namespace dcl
