// Between the protocols of linear evaluation: what they share.
#pragma once

#include <memory>

#include "train/linear.h"

namespace dcl {

/// What an evaluation is of; all of it outlives the evaluation.
struct LinearTask {
  Backend& backend;
  ParameterStore& encoder;
  const Dataset &train, &test;
  const LinearSettings& settings;
  const OnFeatures& on_features;  ///< may be empty

  /// The encoder for whole images of a data set.
  FeatureExtractor extractor(const Dataset& dataset) const;
  /// The encoder for augmented views of the training images.
  FeatureExtractor view_extractor() const;
};

/// The classifier and the test images.
class LinearEvaluation {
 public:
  explicit LinearEvaluation(const LinearTask& task);
  virtual ~LinearEvaluation() = default;

  LinearResult run(const std::function<void(const LinearEpoch&)>& on_epoch);

 protected:
  /// One pass over the training images; returns the mean loss.
  virtual double train_epoch(int64_t epoch) = 0;
  /// Logits of the test images.
  virtual std::vector<float> test_scores() = 0;

  int64_t dim() const { return feature_width(task_.encoder.config()); }
  /// One update of the classifier; returns the mean loss. dfeatures: as LinearClassifier::train.
  double train_on(ConstTensorRef features, std::span<const int32_t> labels, TensorRef dfeatures = {});
  void append_logits(std::span<const float> features, std::vector<float>& scores);

  const LinearTask task_;
  LinearClassifier classifier_;
  Buffer labels_;
  std::vector<int32_t> test_images_, test_labels_;
};

/// Protocol frozen: features in evaluation mode, [images, dim] on the host.
struct FrozenFeatures {
  std::vector<std::vector<float>> copies;  ///< of the training images: whole, or settings.views augmented copies
  std::vector<float> test;                 ///< of the labelled test images
};
FrozenFeatures frozen_features(const LinearTask& task);
/// Trains on the features of `images`, indices into `train`.
std::unique_ptr<LinearEvaluation> frozen_evaluation(const LinearTask& task, const FrozenFeatures& features,
                                                    std::vector<int32_t> images);

/// Protocols batch and finetune: augmented views go through the network in training mode.
std::unique_ptr<LinearEvaluation> network_evaluation(const LinearTask& task);

}  // namespace dcl
