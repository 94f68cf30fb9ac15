// Checks that every backend can rely on. One macro-free style: expect(op, operand, tensor, shape, dtype).
#include "core/backend.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <cstring>

#include "core/extent.h"
#include "core/profile.h"

namespace dcl {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

[[noreturn]] void violated(const char* op, const std::string& what) {
  fail(ErrorKind::internal, std::string("[") + op + "] " + what);
}

void require(bool holds, const char* op, const char* what) {
  if (!holds) violated(op, what);
}

void expect(const char* op, const char* operand, const ConstTensorRef& tensor, const Shape& shape, DType dtype) {
  if (!tensor) violated(op, std::string(operand) + " is missing");
  if (!(tensor.shape == shape) || tensor.dtype != dtype)
    violated(op, std::string(operand) + " is " + std::string(name_of(tensor.dtype)) + tensor.shape.text() +
                     ", expected " + std::string(name_of(dtype)) + shape.text());
}

void expect_optional(const char* op, const char* operand, const ConstTensorRef& tensor, const Shape& shape,
                     DType dtype) {
  if (tensor) expect(op, operand, tensor, shape, dtype);
}

void expect_workspace(const char* op, const Workspace& workspace, size_t needed) {
  if (workspace.bytes < needed || (needed > 0 && !workspace.data))
    violated(op, "workspace of " + std::to_string(workspace.bytes) + " bytes, expected " + std::to_string(needed));
}

void expect_activation_type(const char* op, DType dtype) {
  require(dtype == DType::f32 || dtype == DType::bf16, op, "dtype must be f32 or bf16");
}

void check_conv(const char* op, const ConvDesc& d) {
  expect_activation_type(op, d.dtype);
  require(d.n > 0 && d.h > 0 && d.w > 0 && d.c > 0 && d.k > 0 && d.r > 0 && d.s > 0 && d.stride > 0 && d.pad >= 0, op,
          "extents must be positive");
  require(d.h + 2 * d.pad >= d.r && d.w + 2 * d.pad >= d.s, op, "filter is larger than the padded image");
}

void check_batch_norm(const char* op, const BatchNormDesc& d) {
  expect_activation_type(op, d.dtype);
  require(d.rows > 0 && d.channels > 0 && d.groups > 0 && d.rows % d.groups == 0, op,
          "rows must be a positive multiple of groups");
}

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

void* Backend::allocate_host(size_t bytes) {
  const size_t unit = bytes >= kHugePage ? kHugePage : kCacheLine;
  const size_t whole = padded(bytes, unit);
  void* data = whole >= bytes ? std::aligned_alloc(unit, whole) : nullptr;
  if (!data)
    fail(ErrorKind::out_of_memory,
         "cannot allocate " + std::to_string(bytes >> 20) + " MiB of memory: use a smaller batch");
#ifdef __linux__
  if (unit == kHugePage) ::madvise(data, whole, MADV_HUGEPAGE);  // a wish: fewer page faults and translations
#endif
  std::memset(data, 0, whole);
  return data;
}

void Backend::release_host(void* data, size_t) noexcept { std::free(data); }

std::unique_ptr<Fence> Backend::make_fence() { return std::make_unique<Fence>(); }

std::unique_ptr<StepGraph> Backend::capture(const std::function<void()>& step) {
  return OpTimer::enabled() ? Backend::do_capture(step) : do_capture(step);
}

std::unique_ptr<StepGraph> Backend::do_capture(const std::function<void()>& step) {
  class Repeated : public StepGraph {
   public:
    explicit Repeated(std::function<void()> step) : step_(std::move(step)) {}
    void replay() override { step_(); }

   private:
    std::function<void()> step_;
  };
  return std::make_unique<Repeated>(step);
}

void Backend::set_f32_math(F32Math math) {
  if (math == F32Math::tf32 && !has_tf32())
    fail(ErrorKind::environment,
         "device '" + info().name + "' has no tf32 arithmetic: use f32 or bf16, or a GPU that has it");
  f32_math_ = math;
}

void Backend::copy(ConstTensorRef from, TensorRef to) {
  const OpTimer timer("copy", *this);
  expect("copy", "to", to, from.shape, from.dtype);
  do_copy(from, to);
}

void Backend::fill(TensorRef to, float value) {
  const OpTimer timer("fill", *this);
  require(to.dtype == DType::f32 || to.dtype == DType::bf16 || to.dtype == DType::f64, "fill", "dtype must be a float");
  do_fill(to, value);
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
  expect(op, "filter", filter, d.filter_shape(), DType::f32);
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
  expect(op, "filter", filter, d.filter_shape(), DType::f32);
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
  expect(op, "dfilter", dfilter, d.filter_shape(), DType::f32);
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
  expect(op, "saved", saved, d.saved_shape(), DType::f32);
  require(static_cast<bool>(running_mean) == static_cast<bool>(running_var), op, "running statistics come in pairs");
  require(!running_mean || d.rows > d.groups, op, "a variance needs two rows per group");
  expect_optional(op, "running_mean", running_mean, {d.channels}, DType::f32);
  expect_optional(op, "running_var", running_var, {d.channels}, DType::f32);
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
                               ConstTensorRef beta, ConstTensorRef residual, TensorRef y) {
  const char* op = "batch_norm_apply";
  const OpTimer timer(op, *this);
  check_batch_norm(op, d);
  expect(op, "x", x, d.x_shape(), d.dtype);
  expect(op, "saved", saved, d.saved_shape(), DType::f32);
  expect(op, "gamma", gamma, {d.channels}, DType::f32);
  expect(op, "beta", beta, {d.channels}, DType::f32);
  require(d.residual == static_cast<bool>(residual), op, "residual must be given exactly when the descriptor says so");
  expect_optional(op, "residual", residual, d.x_shape(), d.dtype);
  expect(op, "y", y, d.x_shape(), d.dtype);
  do_batch_norm_apply(d, x, saved, gamma, beta, residual, y);
}

void Backend::batch_norm_backward(const BatchNormDesc& d, ConstTensorRef dy, ConstTensorRef x, ConstTensorRef y,
                                  ConstTensorRef saved, ConstTensorRef gamma, ConstTensorRef beta, TensorRef dx,
                                  TensorRef dresidual, TensorRef dgamma, TensorRef dbeta, Accum accum) {
  const char* op = "batch_norm_backward";
  const OpTimer timer(op, *this);
  check_batch_norm(op, d);
  expect(op, "dy", dy, d.x_shape(), d.dtype);
  expect(op, "x", x, d.x_shape(), d.dtype);
  if (d.relu && d.residual) expect(op, "y", y, d.x_shape(), d.dtype);
  expect(op, "saved", saved, d.saved_shape(), DType::f32);
  expect(op, "gamma", gamma, {d.channels}, DType::f32);
  expect(op, "beta", beta, {d.channels}, DType::f32);
  expect(op, "dx", dx, d.x_shape(), d.dtype);
  require(d.residual == static_cast<bool>(dresidual), op,
          "dresidual must be given exactly when the descriptor says so");
  expect_optional(op, "dresidual", dresidual, d.x_shape(), d.dtype);
  require(!d.residual || dx.data != dresidual.data, op, "dx and dresidual must differ");
  expect(op, "dgamma", dgamma, {d.channels}, DType::f32);
  expect(op, "dbeta", dbeta, {d.channels}, DType::f32);
  do_batch_norm_backward(d, dy, x, y, saved, gamma, beta, dx, dresidual, dgamma, dbeta, accum);
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
  if (d.kind == ObjectiveKind::unbiased) expect(op, "labels", labels, {d.batch}, DType::i32);
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
