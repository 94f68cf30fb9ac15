#include "nn/network.h"

#include "nn/trunk.h"

namespace dcl {
namespace {

/// Linear(F,H) - BatchNorm1d(H) - ReLU - Linear(H,D) - normalize; all f32.
class HeadWriter {
 public:
  HeadWriter(Plan& plan, TrunkWriter& trunk, const ModelConfig& config, const NetworkShape& shape)
      : plan_(plan),
        trunk_(trunk),
        keep_(shape.backward),
        n_(shape.images()),
        f_(feature_width(config)),
        h_(config.hidden_dim),
        d_(config.feature_dim),
        norm_(shape.norm_desc(1, h_, DType::f32)) {}

  void forward(Operand features, Operand embeddings) {
    features_ = features, embeddings_ = embeddings;
    hidden_ = plan_.slot({n_, h_}, DType::f32);
    saved_ = plan_.slot(norm_.saved_shape(), DType::f32);
    active_ = keep_ ? plan_.slot({n_, h_}, DType::f32) : hidden_;
    norms_ = plan_.slot({n_}, DType::f32);
    linear(features, "g.0.weight", {}, hidden_);
    trunk_.statistics(norm_, "g.1", hidden_, saved_);
    plan_.batch_norm_apply(norm_, norm_operands({}), {}, active_);
    linear(active_, "g.3.weight", plan_.parameter("g.3.bias"), embeddings);
    plan_.l2_normalize_forward(embeddings, embeddings, norms_);
  }

  /// Returns the gradient of the features.
  Operand backward(Operand dembeddings) {
    const Operand dprojected = plan_.slot({n_, d_}, DType::f32), dhidden = plan_.slot({n_, h_}, DType::f32);
    const Operand dfeatures = plan_.slot({n_, f_}, DType::f32);
    plan_.l2_normalize_backward(dembeddings, embeddings_, norms_, dprojected);
    plan_.column_sum(dprojected, plan_.gradient("g.3.bias"));
    linear_backward(dprojected, active_, "g.3.weight", dhidden);
    plan_.batch_norm_backward(norm_, dhidden, {}, norm_operands(dhidden), {});
    linear_backward(dhidden, features_, "g.0.weight", dfeatures);
    return dfeatures;
  }

 private:
  /// dx: of backward, or none.
  Plan::Norm norm_operands(Operand dx) const {
    Plan::Norm norm{hidden_, saved_, plan_.parameter("g.1.weight"), plan_.parameter("g.1.bias"), dx, {}, {}};
    if (dx) norm.dgamma = plan_.gradient("g.1.weight"), norm.dbeta = plan_.gradient("g.1.bias");
    return norm;
  }
  /// y = x W^T [+ bias], W [out,in].
  void linear(Operand x, const char* weight, Operand bias, Operand y) {
    plan_.gemm({.m = n_, .n = y.shape[1], .k = x.shape[1], .trans_b = true}, x, plan_.parameter(weight), bias, y);
  }
  /// dW = dy^T x, dx = dy W.
  void linear_backward(Operand dy, Operand x, const char* weight, Operand dx) {
    const int64_t in = x.shape[1], out = dy.shape[1];
    plan_.gemm({.m = out, .n = in, .k = n_, .trans_a = true}, dy, x, {}, plan_.gradient(weight));
    plan_.gemm({.m = n_, .n = in, .k = out}, dy, plan_.parameter(weight), {}, dx);
  }

  Plan& plan_;
  TrunkWriter& trunk_;
  bool keep_;
  int64_t n_, f_, h_, d_;
  BatchNormDesc norm_;
  Operand features_, hidden_, saved_, active_, norms_, embeddings_;
};

NetworkShape checked(const ModelConfig& config, NetworkShape shape) {
  if (shape.batch < 1 || shape.views < 1 || shape.height < 1 || shape.width < 1 || shape.bn_groups < 1 ||
      shape.batch % shape.bn_groups != 0)
    fail(ErrorKind::internal,
         "a network's batch, views and image size must be positive, the batch divisible by bn_groups");
  if (shape.backward && shape.norm != NormMode::batch) fail(ErrorKind::internal, "backward needs batch statistics");
  if (config.head && shape.norm == NormMode::batch && shape.batch / shape.bn_groups < 2)
    fail(ErrorKind::usage, "batch size 1 cannot be normalised with batch statistics: use a batch of 2 or more");
  return shape;
}

}  // namespace

TrainingPlan::TrainingPlan(Backend& backend, const ModelConfig& config, const NetworkShape& shape)
    : config_(config), shape_(checked(config, shape)), plan_(backend, parameter_layout(config)) {
  const bool roomy = shape_.activations == Activations::keep_if_roomy && shape_.backward;
  write(shape_.activations == Activations::keep || roomy);
  if (roomy && plan_.memory().arena_bytes > backend.free_memory() / 2) {
    plan_ = Plan(backend, parameter_layout(config));
    write(false);
  }
  plan_.allocate();
}

void TrainingPlan::write(bool keep_activations) {
  const int64_t images = shape_.images();
  input_ = plan_.pinned({images, shape_.height, shape_.width, 3}, shape_.dtype);
  features_ = plan_.pinned({images, feature_width(config_)}, DType::f32);
  TrunkWriter trunk(plan_, config_, shape_, keep_activations);
  HeadWriter head(plan_, trunk, config_, shape_);
  trunk.forward(input_, features_);
  if (config_.head) {
    embeddings_ = plan_.pinned({images, config_.feature_dim}, DType::f32);
    head.forward(features_, embeddings_);
  }
  forward_end_ = plan_.size();
  if (shape_.backward) {
    output_gradients_ = plan_.pinned((config_.head ? embeddings_ : features_).shape, DType::f32);
    trunk.backward(config_.head ? head.backward(output_gradients_) : output_gradients_);
  }
  plan_.finish();
}

void TrainingPlan::forward(ParameterStore& store, bool update_running) const {
  enqueue_forward(store, update_running);
  if (update_running && shape_.norm == NormMode::batch) count_batches(store);
}

void TrainingPlan::enqueue_forward(ParameterStore& store, bool update_running) const {
  store.require_model(config_);
  plan_.run(0, forward_end_, &store, update_running && shape_.norm == NormMode::batch);
}

void TrainingPlan::count_batches(ParameterStore& store, int64_t times) const {
  store.count_batches(times * shape_.views, config_.head ? "" : "f.");
}

void TrainingPlan::backward(ParameterStore& store, Accum gradients) const {
  store.require_model(config_);
  if (!shape_.backward) fail(ErrorKind::internal, "this plan has no backward pass");
  plan_.run(forward_end_, plan_.size(), &store, false, gradients);
}

}  // namespace dcl
