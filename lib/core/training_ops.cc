// The ops around a network, checked for every backend: rows, objective, optimizers, augmentation.
#include "core/op_checks.h"
#include "core/profile.h"

namespace dcl {
namespace {

void check_objective(const char* op, const ObjectiveDesc& d) {
  require(d.dtype == DType::f32 || d.dtype == DType::f64, op, "dtype must be f32 or f64");
  require(d.batch >= 1 && d.views >= 2 && d.dim > 0, op, "batch and dim must be positive, views at least 2");
  require(d.temperature > 0 && d.tau_plus >= 0 && d.tau_plus < 1, op,
          "temperature must be positive, tau_plus in [0, 1)");
  require(d.beta >= 0 && (d.kind == ObjectiveKind::hard ? 1 + d.beta : 1) <= kMaxObjectiveExponent * d.temperature, op,
          "beta must not be negative, (1 + beta) / temperature at most 600");
}

void check_same(const char* op, const char* operand, const ConstTensorRef& a, const ConstTensorRef& b) {
  expect(op, operand, a, b.shape, b.dtype);
}

void check_optimizer(const char* op, int64_t size, const ConstTensorRef& scalars, const ConstTensorRef& w,
                     const ConstTensorRef& g, const ConstTensorRef& state) {
  expect(op, "scalars", scalars, {kStepScalars}, DType::f32);
  expect(op, "w", w, {size}, DType::f32);
  expect(op, "g", g, {size}, DType::f32);
  expect(op, "state", state, {size}, DType::f32);
}

void check_view(const AugmentDesc& d, const ViewParams& v, int64_t pool_bytes) {
  const char* op = "augment";
  constexpr int kMaxExtent = 16384, kMaxResize = 1 << 27;  // only the window of a resized image is ever made
  require(v.image_h > 0 && v.image_w > 0 && v.image_h <= kMaxExtent && v.image_w <= kMaxExtent && v.image_offset >= 0 &&
              v.image_offset <= pool_bytes - int64_t{3} * v.image_h * v.image_w,
          op, "image lies outside the pool");
  require(v.crop_h > 0 && v.crop_w > 0 && v.crop_y >= 0 && v.crop_x >= 0 && v.crop_y <= v.image_h - v.crop_h &&
              v.crop_x <= v.image_w - v.crop_w,
          op, "crop lies outside the image");
  const int64_t resize_h = v.resize_h ? v.resize_h : d.h, resize_w = v.resize_w ? v.resize_w : d.w;
  require(resize_h <= kMaxResize && resize_w <= kMaxResize && v.window_y >= 0 && v.window_x >= 0 &&
              v.window_y + d.h <= resize_h && v.window_x + d.w <= resize_w,
          op, "output window lies outside the resized crop");
  require(v.jitter_count <= kJitterOps, op, "jitter_count must be 0..4");
  for (const JitterOp which : v.jitter_order)
    require(which <= JitterOp::hue, op, "jitter_order names an unknown operator");
  require(v.brightness >= 0 && v.contrast >= 0 && v.saturation >= 0, op, "jitter factors must not be negative");
  require(v.hue_shift >= -255 && v.hue_shift <= 255, op, "hue_shift must be -255..255");
  require(v.blur_radius <= kMaxBlurRadius, op, "blur_radius must be 0..15");
  int side_weights = 0;
  for (int i = 0; i < v.blur_radius; ++i) side_weights += v.blur_weights[i];
  require(side_weights <= 128, op, "blur_weights must not exceed 256 together");
}

}  // namespace

void Backend::l2_normalize_forward(ConstTensorRef x, TensorRef y, TensorRef norms) {
  const char* op = "l2_normalize_forward";
  const OpTimer timer(op, *this);
  require(x.shape.rank() == 2, op, "x must be [rows, dim]");
  expect(op, "x", x, x.shape, DType::f32);
  check_same(op, "y", y, x);
  expect(op, "norms", norms, {x.shape[0]}, DType::f32);
  do_l2_normalize_forward(x, y, norms);
}

void Backend::l2_normalize_backward(ConstTensorRef dy, ConstTensorRef y, ConstTensorRef norms, TensorRef dx) {
  const char* op = "l2_normalize_backward";
  const OpTimer timer(op, *this);
  require(y.shape.rank() == 2, op, "y must be [rows, dim]");
  expect(op, "y", y, y.shape, DType::f32);
  check_same(op, "dy", dy, y);
  check_same(op, "dx", dx, y);
  expect(op, "norms", norms, {y.shape[0]}, DType::f32);
  do_l2_normalize_backward(dy, y, norms, dx);
}

size_t Backend::objective_workspace(const ObjectiveDesc& d) const {
  check_objective("objective_workspace", d);
  return do_objective_workspace(d);
}

void Backend::objective(const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels, TensorRef result, TensorRef dz,
                        Workspace workspace) {
  const char* op = "objective";
  const OpTimer timer(op, *this);
  check_objective(op, d);
  expect(op, "z", z, d.z_shape(), d.dtype);
  if (knows_labels(d.kind)) expect(op, "labels", labels, {d.batch}, DType::i32);
  expect(op, "result", result, {kObjectiveResults}, DType::f64);
  expect_optional(op, "dz", dz, d.z_shape(), d.dtype);
  expect_workspace(op, workspace, do_objective_workspace(d));
  do_objective(d, z, labels, result, dz, workspace);
}

void Backend::cross_entropy(const CrossEntropyDesc& d, ConstTensorRef logits, ConstTensorRef labels, TensorRef loss,
                            TensorRef dlogits) {
  const char* op = "cross_entropy";
  const OpTimer timer(op, *this);
  expect(op, "logits", logits, {d.rows, d.classes}, DType::f32);
  expect(op, "labels", labels, {d.rows}, DType::i32);
  expect(op, "loss", loss, {d.rows}, DType::f32);
  expect_optional(op, "dlogits", dlogits, {d.rows, d.classes}, DType::f32);
  do_cross_entropy(d, logits, labels, loss, dlogits);
}

void Backend::top_k(ConstTensorRef scores, TensorRef values, TensorRef indices) {
  const char* op = "top_k";
  const OpTimer timer(op, *this);
  require(scores.shape.rank() == 2 && values.shape.rank() == 2, op, "scores and values must be matrices");
  expect(op, "scores", scores, scores.shape, DType::f32);
  require(values.shape[1] >= 1 && values.shape[1] <= scores.shape[1], op, "k must be between 1 and the row length");
  expect(op, "values", values, {scores.shape[0], values.shape[1]}, DType::f32);
  expect(op, "indices", indices, values.shape, DType::i32);
  do_top_k(scores, values, indices);
}

void Backend::column_sum(ConstTensorRef x, TensorRef sums, Accum accum) {
  const char* op = "column_sum";
  const OpTimer timer(op, *this);
  require(x.shape.rank() == 2, op, "x must be [rows, columns]");
  expect(op, "x", x, x.shape, DType::f32);
  expect(op, "sums", sums, {x.shape[1]}, DType::f32);
  do_column_sum(x, sums, accum);
}

void Backend::sum_of_squares(ConstTensorRef x, TensorRef result) {
  const char* op = "sum_of_squares";
  const OpTimer timer(op, *this);
  expect(op, "x", x, x.shape, DType::f32);
  expect(op, "result", result, {1}, DType::f64);
  do_sum_of_squares(x, result);
}

void Backend::cast(ConstTensorRef from, TensorRef to) {
  const char* op = "cast";
  const OpTimer timer(op, *this);
  expect_activation_type(op, from.dtype);
  expect_activation_type(op, to.dtype);
  expect(op, "to", to, from.shape, to.dtype);
  do_cast(from, to);
}

void Backend::adam(const AdamDesc& d, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef m, TensorRef v) {
  const char* op = "adam";
  const OpTimer timer(op, *this);
  check_optimizer(op, d.size, scalars, w, g, m);
  expect(op, "v", v, {d.size}, DType::f32);
  do_adam(d, scalars, w, g, m, v);
}

void Backend::sgd(const SgdDesc& d, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity) {
  const char* op = "sgd";
  const OpTimer timer(op, *this);
  check_optimizer(op, d.size, scalars, w, g, velocity);
  do_sgd(d, scalars, w, g, velocity);
}

void Backend::lars(const LarsDesc& d, ConstTensorRef scalars, TensorRef w, ConstTensorRef g, TensorRef velocity) {
  const char* op = "lars";
  const OpTimer timer(op, *this);
  check_optimizer(op, d.size, scalars, w, g, velocity);
  do_lars(d, scalars, w, g, velocity);
}

void Backend::guard_update(ConstTensorRef result, TensorRef scalars) {
  const char* op = "guard_update";
  const OpTimer timer(op, *this);
  expect(op, "result", result, {kObjectiveResults}, DType::f64);
  expect(op, "scalars", scalars, {kStepScalars}, DType::f32);
  do_guard_update(result, scalars);
}

void Backend::augment(const AugmentDesc& d, ConstTensorRef pool, ConstTensorRef views, TensorRef out) {
  const char* op = "augment";
  const OpTimer timer(op, *this);
  require(d.h > 0 && d.h <= 4096 && d.w > 0 && d.w <= 4096, op, "output extent must be 1..4096");
  expect(op, "pool", pool, pool.shape, DType::u8);
  expect(op, "views", views, views_shape(views.shape[0]), DType::u8);
  expect_activation_type(op, out.dtype);
  expect(op, "out", out, {views.shape[0], d.h, d.w, 3}, out.dtype);
  do_augment(d, pool, views, out);
}

void check_views(const AugmentDesc& d, std::span<const ViewParams> views, int64_t pool_bytes) {
  for (const ViewParams& view : views) check_view(d, view, pool_bytes);
}

}  // namespace dcl
