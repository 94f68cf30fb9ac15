// How well a linear classifier does on the features of an encoder. Three protocols, whose figures must not be compared
// with each other:
//   batch     as published: while the classifier learns from augmented views, the encoder's batch norm normalises with
//             the statistics of each batch and its running statistics are overwritten; testing uses what they have
//             become.
//   frozen    the encoder is in evaluation mode throughout; its features are computed once.
//   finetune  the encoder learns with the classifier, from the same views as in batch (Chen et al., SimCLR, 2020, 4.2).
#pragma once

#include <functional>
#include <optional>

#include "train/features.h"
#include "train/linear_classifier.h"

namespace dcl {

enum class LinearProtocol : uint8_t { batch, frozen, finetune };

struct LinearSettings {
  LinearProtocol protocol = LinearProtocol::batch;
  int64_t epochs = 100, batch = 512;
  double lr = 1e-3, weight_decay = 1e-6;  ///< of Adam, for classifier and encoder
  uint64_t seed = 0;                      ///< of initial weights, order and views
  AugmentSettings augment;                ///< of the training views
  int views = 0;             ///< frozen: train on so many augmented copies of each image; 0: on the image itself
  int64_t eval_size = 0;     ///< height and width of whole images; 0: their own
  int64_t eval_batch = 256;  ///< images per forward pass in evaluation mode
  int64_t eval_every = 0;    ///< test after every N epochs; the last is always tested
  DType dtype = DType::f32;
};

/// Error{usage} naming the setting that is out of range.
void check(const LinearSettings& settings);

struct LinearEpoch {
  int64_t epoch = 0;                 ///< from 1
  double loss = 0;                   ///< mean over the epoch's training images
  std::optional<double> top1, top5;  ///< percent of the test images, in epochs that are tested
};

struct LinearResult {
  LinearEpoch last;
  LinearValues classifier;  ///< after it
};

/// Told, while whole images go through the encoder, how many are done of all: in protocol frozen once, in the others at
/// every test.
using OnFeatures = std::function<void(int64_t done, int64_t all)>;

/// Trains and tests; calls on_epoch for each epoch and, where given, on_features. Protocol batch changes the running
/// statistics in `encoder`, finetune all of it, which takes a store without head and with gradients. Error{data} when a
/// training image has no label or no test image has one; Error{usage} for settings out of range, or a batch too small
/// for batch norm; Error{numerical} for features or a loss that are not finite.
LinearResult linear_evaluation(Backend& backend, ParameterStore& encoder, const Dataset& train, const Dataset& test,
                               const LinearSettings& settings, const std::function<void(const LinearEpoch&)>& on_epoch,
                               const OnFeatures& on_features = {});

/// The same for each of `folds`, sets of images to train on (indices into `train`, none of them twice in a set), every
/// time from the encoder as it is given, so that a fold's result does not depend on the others; the encoder is left as
/// the last fold leaves it. Protocol frozen computes the features of all images of `train` once, whatever folds there
/// are. Views of an image are drawn for its place in the fold, with settings.views in frozen for its index. on_epoch is
/// told which of `folds` the epoch is of. Results in the order of `folds`.
std::vector<LinearResult> linear_evaluations(Backend& backend, ParameterStore& encoder, const Dataset& train,
                                             const Dataset& test, std::span<const std::vector<int32_t>> folds,
                                             const LinearSettings& settings,
                                             const std::function<void(size_t fold, const LinearEpoch&)>& on_epoch,
                                             const OnFeatures& on_features = {});

}  // namespace dcl
