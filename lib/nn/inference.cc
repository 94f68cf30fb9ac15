#include "nn/inference.h"

#include <algorithm>

#include "nn/fold.h"

namespace dcl {
namespace {

/// A linear layer is a 1x1 convolution of 1x1 images: it gets bias and ReLU the same way.
FusedConvDesc linear_desc(int64_t n, int64_t in, int64_t out, bool relu) {
  return {.conv = {.n = n, .c = in, .k = out}, .relu = relu};
}

}  // namespace

InferencePlan::InferencePlan(Backend& backend, const ModelConfig& config, const InferenceShape& shape)
    : config_(config), shape_(shape), plan_(backend, parameter_layout(config)) {
  if (shape.batch < 1 || shape.height < 1 || shape.width < 1)
    fail(ErrorKind::internal, "batch and image size of an inference plan must be positive");
  if (shape.head && !config.head) fail(ErrorKind::internal, "the model has no projection head");
  const ResNetSpec spec = resnet_spec(config);
  input_ = plan_.pinned({shape.batch, shape.height, shape.width, 3}, shape.dtype);
  features_ = plan_.pinned({shape.batch, spec.feature_width}, DType::f32);
  Operand x = add_unit(spec.stem, input_, true);
  if (spec.max_pool) {
    const MaxPoolDesc pool = stem_pool_desc(x.shape, shape.dtype);
    const Operand pooled = plan_.slot(pool.y_shape(), shape.dtype);
    plan_.max_pool_forward(pool, x, pooled, plan_.slot(pool.y_shape(), DType::u8));
    x = pooled;
  }
  for (const BlockSpec& block : spec.blocks) x = add_block(block, x);
  plan_.average_pool_forward({.n = x.shape[0], .h = x.shape[1], .w = x.shape[2], .c = x.shape[3], .dtype = shape.dtype},
                             x, features_);
  if (shape.head) add_head();
  plan_.finish();
  plan_.allocate();
}

Operand InferencePlan::add(Layer layer, Operand x, Operand residual, Operand y) {
  const ConvDesc& conv = layer.desc.conv;
  const auto packed_bytes = static_cast<int64_t>(plan_.backend().packed_filter_bytes(layer.desc));
  layer.packed = plan_.pinned({packed_bytes}, DType::u8);
  layer.packed_bias = plan_.pinned({conv.k}, DType::f32);
  if (!y) y = plan_.slot(conv.y_shape(), conv.dtype);
  plan_.fused_conv(layer.desc, x, layer.packed, layer.packed_bias, residual, y);
  layers_.push_back(std::move(layer));
  return y;
}

Operand InferencePlan::add_unit(const ConvNormSpec& spec, Operand x, bool relu, Operand residual) {
  Layer layer;
  layer.desc = {.conv = conv_desc(spec, x.shape, shape_.dtype), .relu = relu, .residual = static_cast<bool>(residual)};
  layer.weight = spec.conv + ".weight";
  layer.norm = spec.norm;
  return add(std::move(layer), x, residual, residual);  // the result takes the residual's memory
}

Operand InferencePlan::add_block(const BlockSpec& spec, Operand x) {
  const Operand residual = spec.downsample ? add_unit(*spec.downsample, x, false) : x;
  for (size_t i = 0; i + 1 < spec.main.size(); ++i) x = add_unit(spec.main[i], x, true);
  return add_unit(spec.main.back(), x, true, residual);
}

void InferencePlan::add_head() {
  const int64_t n = shape_.batch, width = features_.shape[1];
  embeddings_ = plan_.pinned({n, config_.feature_dim}, DType::f32);
  Layer hidden, out;
  hidden.desc = linear_desc(n, width, config_.hidden_dim, true);
  hidden.weight = "g.0.weight", hidden.norm = "g.1";
  out.desc = linear_desc(n, config_.hidden_dim, config_.feature_dim, false);
  out.weight = "g.3.weight", out.bias = "g.3.bias";
  const Operand active = add(std::move(hidden), features_.as({n, 1, 1, width}));
  add(std::move(out), active, {}, embeddings_.as({n, 1, 1, config_.feature_dim}));
  plan_.l2_normalize_forward(embeddings_, embeddings_, plan_.slot({n}, DType::f32));
}

void InferencePlan::fold(const ParameterStore& store) {
  store.require_model(config_);
  int64_t largest = 0;
  for (const Layer& layer : layers_) largest = std::max(largest, layer.desc.conv.filter_shape().elements());
  const Buffer staging(plan_.backend(), static_cast<size_t>(largest) * sizeof(float));
  std::vector<float> host;
  for (const Layer& layer : layers_)
    fold_layer(layer, store, staging.view(layer.desc.conv.filter_shape(), DType::f32), host);
  folded_ = true;
}

void InferencePlan::fold_layer(const Layer& layer, const ParameterStore& store, TensorRef staging,
                               std::vector<float>& host) {
  Backend& backend = plan_.backend();
  const ConstTensorRef weight = store.tensor(store.entry(layer.weight));
  host.resize(static_cast<size_t>(weight.shape.elements()));
  backend.copy_out(host.data(), weight);
  std::vector<float> bias(static_cast<size_t>(layer.desc.conv.k), 0.0f);
  if (!layer.norm.empty()) {
    const NormAffine affine = norm_affine(store, layer.norm);
    scale_channels(host, affine.scale);
    std::copy(affine.bias.begin(), affine.bias.end(), bias.begin());
  } else if (!layer.bias.empty()) {
    bias = store.export_tensor(store.entry(layer.bias));
  }
  backend.copy_in(staging, host.data());
  backend.pack_filter(layer.desc, staging, plan_.tensor(layer.packed));
  backend.copy_in(plan_.tensor(layer.packed_bias), bias.data());
  backend.synchronize();  // staging and host are used again
}

void InferencePlan::run() const {
  if (!folded_) fail(ErrorKind::internal, "an inference plan runs after fold()");
  plan_.run(0, plan_.size(), nullptr, false);
}

}  // namespace dcl
