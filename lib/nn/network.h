// Encoder and projection head with batch statistics: the training step's network.
// Memory: forward keeps the convolution outputs (batch norm's backward needs them) and the block outputs.
#pragma once

#include "nn/plan.h"

namespace dcl {

/// batch: statistics of the batch, as in PyTorch's train(). running: those of the store, as in eval().
enum class NormMode : uint8_t { batch, running };

/// Whether backward finds the activations inside blocks where forward left them, or makes them again from the
/// convolutions' outputs, to the same bits: a sixth of the memory less for one more pass over those outputs.
/// keep_if_roomy: kept when all memory of the plan is then at most half of what the backend has left; recomputed where
/// that is unknown.
enum class Activations : uint8_t { recompute, keep, keep_if_roomy };

struct NetworkShape {
  int64_t batch = 1;  ///< images per view
  int64_t views = 2;
  int64_t height = 32, width = 32;
  DType dtype = DType::f32;  ///< of images and activations; features, head and parameters are always f32
  /// Consecutive parts of a view's images that are normalised separately, as on so many GPUs under PyTorch's
  /// DataParallel; the first of each view moves the running statistics.
  int64_t bn_groups = 1;
  bool backward = true;             ///< false: forward only, with a fraction of the memory
  NormMode norm = NormMode::batch;  ///< running: only without backward
  Activations activations = Activations::recompute;

  int64_t images() const { return batch * views; }
  /// Batch norm and ReLU over the images' rows of `channels`, so many rows an image.
  BatchNormDesc norm_desc(int64_t rows_per_image, int64_t channels, DType of) const {
    return {.rows = images() * rows_per_image,
            .channels = channels,
            .groups = views * bn_groups,
            .dtype = of,
            .relu = true,
            .running_every = bn_groups};
  }
};

class TrainingPlan {
 public:
  /// Allocates all memory the steps need. config.head = false gives features only.
  TrainingPlan(Backend& backend, const ModelConfig& config, const NetworkShape& shape);

  const ModelConfig& config() const { return config_; }
  const NetworkShape& shape() const { return shape_; }

  /// [views * batch, h, w, 3] dtype, view-major; the caller fills it.
  TensorRef input() const { return plan_.tensor(input_); }
  TensorRef features() const { return plan_.tensor(features_); }      ///< f32 [views * batch, F], not normalised
  TensorRef embeddings() const { return plan_.tensor(embeddings_); }  ///< f32 [views * batch, D], rows of unit length
  /// f32, like embeddings(): dLoss/dembeddings, which the caller writes between forward() and backward().
  TensorRef embedding_gradients() const { return plan_.tensor(output_gradients_); }
  /// The same of a plan without head: f32, like features(), dLoss/dfeatures.
  TensorRef feature_gradients() const { return plan_.tensor(output_gradients_); }

  /// The store's model must be `config` (a store with head serves a plan without). With update_running the running
  /// statistics move once per view, in order, and num_batches_tracked grows by the number of views.
  void forward(ParameterStore& store, bool update_running = true) const;
  /// forward() is these two: the ops, which a step graph may hold, and the counters of the host.
  void enqueue_forward(ParameterStore& store, bool update_running = true) const;
  /// times: of forward passes; -1 takes one back.
  void count_batches(ParameterStore& store, int64_t times = 1) const;
  /// After forward() on the same input and values. Overwrites every gradient of the store or adds to it; input() is
  /// left as it was.
  void backward(ParameterStore& store, Accum gradients = Accum::overwrite) const;

  const PlanMemory& memory() const { return plan_.memory(); }
  const Plan& plan() const { return plan_; }

 private:
  void write(bool keep_activations);

  ModelConfig config_;
  NetworkShape shape_;
  Plan plan_;
  Operand input_, features_, embeddings_;
  Operand output_gradients_;  // of the embeddings or, without head, of the features
  int forward_end_ = 0;
};

}  // namespace dcl
