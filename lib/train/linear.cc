#include "train/linear.h"

#include <algorithm>

#include "core/error.h"
#include "core/extent.h"
#include "train/linear_impl.h"

namespace dcl {
namespace {

ClassifierSettings classifier_settings(const LinearTask& task) {
  const LinearSettings& s = task.settings;
  return {.dim = feature_width(task.encoder.config()),
          .classes = static_cast<int64_t>(task.train.classes.size()),
          .max_rows = std::max(s.batch, s.eval_batch),
          .lr = s.lr,
          .weight_decay = s.weight_decay,
          .seed = s.seed};
}

void require(bool holds, ErrorKind kind, const std::string& message) {
  if (!holds) fail(kind, message);
}

void check(const Dataset& train, const Dataset& test) {
  require(train.labelled() && !train.classes.empty(), ErrorKind::data,
          "linear evaluation needs a label on every training image: split '" + train.split + "' of '" + train.name +
              "' has images without");
  require(!labelled_images(test).empty(), ErrorKind::data,
          "split '" + test.split + "' of '" + test.name + "' has no labelled image to test on");
  require(test.classes == train.classes, ErrorKind::data, "training and test split have different classes");
}

/// What protocols batch and finetune need. Batch norm in training mode needs two values of every channel, also in the
/// last batch of an epoch and behind the last convolution.
void check_network(const LinearSettings& s, const ModelConfig& encoder, int64_t images) {
  const int64_t side = ceil_div(s.augment.size, encoder.stem == Stem::cifar ? 8 : 32);
  const int64_t left = images % s.batch, last = left > 0 ? left : std::min(s.batch, images);
  require(
      last * side * side >= 2, ErrorKind::usage,
      "the last batch of an epoch has one image, of which one pixel is left at the end of the network, and batch norm "
      "in training mode needs two: give another --batch_size or a larger --image_size, or --protocol frozen");
  require(s.protocol != LinearProtocol::finetune || !encoder.head, ErrorKind::internal,
          "finetuning takes an encoder without projection head");
}

/// What the protocols change of an encoder, on the host.
class EncoderState {
 public:
  explicit EncoderState(const ParameterStore& encoder)
      : values_(host_copy(encoder, encoder.values())), statistics_(host_copy(encoder, encoder.statistics())) {
    for (const ParameterEntry& entry : encoder.entries())
      if (entry.kind == ParameterKind::batches_tracked) batches_.push_back(encoder.batches_tracked(entry));
  }

  void restore(ParameterStore& encoder) const {
    encoder.backend().copy_in(encoder.values(), values_.data());
    encoder.backend().copy_in(encoder.statistics(), statistics_.data());
    auto batches = batches_.begin();
    for (const ParameterEntry& entry : encoder.entries())
      if (entry.kind == ParameterKind::batches_tracked) encoder.set_batches_tracked(entry, *batches++);
  }

 private:
  static std::vector<float> host_copy(const ParameterStore& encoder, ConstTensorRef flat) {
    std::vector<float> host(static_cast<size_t>(flat.shape.elements()));
    encoder.backend().copy_out(host.data(), flat);
    return host;
  }

  std::vector<float> values_, statistics_;
  std::vector<int64_t> batches_;
};

}  // namespace

FeatureExtractor LinearTask::extractor(const Dataset& dataset) const {
  const AugmentDesc pixels = evaluation_pixels(dataset, settings.eval_size, augment_desc(settings.augment));
  return {backend, encoder, pixels, dataset.size(), settings.eval_batch, settings.dtype};
}

FeatureExtractor LinearTask::view_extractor() const {
  return {backend, encoder, augment_desc(settings.augment), train.size(), settings.eval_batch, settings.dtype};
}

LinearEvaluation::LinearEvaluation(const LinearTask& task)
    : task_(task),
      classifier_(task.backend, classifier_settings(task)),
      labels_(task.backend, static_cast<size_t>(task.settings.batch) * sizeof(int32_t)),
      test_images_(labelled_images(task.test)),
      test_labels_(labels_of(task.test, test_images_)) {}

LinearResult LinearEvaluation::run(const std::function<void(const LinearEpoch&)>& on_epoch) {
  const LinearSettings& settings = task_.settings;
  LinearEpoch last;
  for (int64_t epoch = 0; epoch < settings.epochs; ++epoch) {
    last = {.epoch = epoch + 1, .loss = train_epoch(epoch)};
    const bool tested = settings.eval_every > 0 && last.epoch % settings.eval_every == 0;
    if (tested || last.epoch == settings.epochs) {
      const std::vector<float> scores = test_scores();
      const auto classes = static_cast<int64_t>(task_.train.classes.size());
      last.top1 = top_k_percent(scores, test_labels_, classes, 1);
      last.top5 = top_k_percent(scores, test_labels_, classes, 5);
    }
    on_epoch(last);
  }
  return {last, classifier_.values()};
}

double LinearEvaluation::train_on(ConstTensorRef features, std::span<const int32_t> labels, TensorRef dfeatures) {
  const TensorRef targets = labels_.view({static_cast<int64_t>(labels.size())}, DType::i32);
  task_.backend.copy_in(targets, labels.data());
  return classifier_.train(features, targets, dfeatures);
}

void LinearEvaluation::append_logits(std::span<const float> features, std::vector<float>& scores) {
  const std::vector<float> logits = classifier_.logits(classifier_.upload(features));
  scores.insert(scores.end(), logits.begin(), logits.end());
}

void check(const LinearSettings& s) {
  const auto usage = [](bool holds, const std::string& message) { require(holds, ErrorKind::usage, message); };
  usage(s.epochs >= 1 && s.batch >= 1 && s.eval_batch >= 1, "epochs and batch sizes must be at least 1");
  usage(s.lr > 0 && s.weight_decay >= 0, "lr must be positive and weight_decay not negative");
  usage(s.views >= 0, "views must be 0 or more");
  usage(s.views == 0 || s.protocol == LinearProtocol::frozen,
        "--views is of --protocol frozen: the others draw new views in every epoch");
  check(s.augment);
}

LinearResult linear_evaluation(Backend& backend, ParameterStore& encoder, const Dataset& train, const Dataset& test,
                               const LinearSettings& settings, const std::function<void(const LinearEpoch&)>& on_epoch,
                               const OnFeatures& on_features) {
  check(settings);
  check(train, test);
  const LinearTask task{backend, encoder, train, test, settings, on_features};
  if (settings.protocol == LinearProtocol::frozen) {
    const FrozenFeatures features = frozen_features(task);
    return frozen_evaluation(task, features, all_images(train))->run(on_epoch);
  }
  check_network(settings, encoder.config(), train.size());
  return network_evaluation(task)->run(on_epoch);
}

std::vector<LinearResult> linear_evaluations(Backend& backend, ParameterStore& encoder, const Dataset& train,
                                             const Dataset& test, std::span<const std::vector<int32_t>> folds,
                                             const LinearSettings& settings,
                                             const std::function<void(size_t fold, const LinearEpoch&)>& on_epoch,
                                             const OnFeatures& on_features) {
  check(settings);
  check(train, test);
  for (const std::vector<int32_t>& fold : folds)
    require(!fold.empty() && std::ranges::all_of(fold, [&](int32_t i) { return i >= 0 && i < train.size(); }),
            ErrorKind::internal, "a fold without images, or of images that there are not");
  std::vector<LinearResult> results;
  const auto evaluate_each = [&](const auto& evaluation_of) {
    for (size_t i = 0; i < folds.size(); ++i)
      results.push_back(evaluation_of(folds[i])->run([&](const LinearEpoch& epoch) { on_epoch(i, epoch); }));
  };
  if (settings.protocol == LinearProtocol::frozen) {
    const LinearTask task{backend, encoder, train, test, settings, on_features};
    const FrozenFeatures features = frozen_features(task);
    evaluate_each([&](const std::vector<int32_t>& fold) { return frozen_evaluation(task, features, fold); });
  } else {
    for (const std::vector<int32_t>& fold : folds) check_network(settings, encoder.config(), std::ssize(fold));
    const EncoderState initial(encoder);
    Dataset images;
    evaluate_each([&](const std::vector<int32_t>& fold) {
      initial.restore(encoder);
      images = train.subset(fold);
      return network_evaluation({backend, encoder, images, test, settings, on_features});
    });
  }
  return results;
}

}  // namespace dcl
