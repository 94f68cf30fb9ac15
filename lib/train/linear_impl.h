// Between the protocols of linear evaluation: what they share.
#pragma once

#include <memory>

#include "train/linear.h"

namespace dcl {

/// The classifier and the test images.
class LinearEvaluation {
 public:
  LinearEvaluation(Backend& backend, ParameterStore& encoder, const Dataset& train, const Dataset& test,
                   const LinearSettings& settings);
  virtual ~LinearEvaluation() = default;

  LinearResult run(const std::function<void(const LinearEpoch&)>& on_epoch);

 protected:
  /// One pass over the training images; returns the mean loss.
  virtual double train_epoch(int64_t epoch) = 0;
  /// Logits of the test images.
  virtual std::vector<float> test_scores() = 0;

  int64_t dim() const { return feature_width(encoder_.config()); }
  /// For views of `pixels` of the data set; or for its whole images.
  FeatureExtractor extractor(const Dataset& dataset, const AugmentDesc& pixels);
  FeatureExtractor extractor(const Dataset& dataset);
  /// One update of the classifier; returns the mean loss. dfeatures: as LinearClassifier::train.
  double train_on(ConstTensorRef features, std::span<const int32_t> labels, TensorRef dfeatures = {});
  void append_logits(std::span<const float> features, std::vector<float>& scores);

  Backend& backend_;
  ParameterStore& encoder_;
  const Dataset &train_, &test_;
  const LinearSettings& settings_;
  LinearClassifier classifier_;
  Buffer labels_;
  std::vector<int32_t> test_images_, test_labels_;
};

/// Protocols batch and finetune: augmented views go through the network in training mode.
std::unique_ptr<LinearEvaluation> network_evaluation(Backend& backend, ParameterStore& encoder, const Dataset& train,
                                                     const Dataset& test, const LinearSettings& settings);

}  // namespace dcl
