// Convolution, checked for every backend.
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

}  // namespace

std::vector<size_t> Backend::conv_workspaces(std::span<const ConvUse> uses) {
  struct Bytes {
    const Backend& backend;
    size_t operator()(const ConvPassUse& use) const { return backend.conv_workspace(use.conv, use.pass); }
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

}  // namespace dcl
