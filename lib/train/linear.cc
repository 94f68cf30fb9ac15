#include "train/linear.h"

#include <algorithm>

#include "core/error.h"
#include "core/extent.h"
#include "data/shuffle.h"
#include "train/linear_impl.h"

namespace dcl {
namespace {

/// Features of images, [images.size(), dim]; calls on_batch with the number of images of each.
std::vector<float> features_of(FeatureExtractor& extractor, const Dataset& dataset, std::span<const int32_t> images,
                               const ViewSampler& views, uint32_t epoch, const std::function<void(int64_t)>& on_batch) {
  std::vector<float> all;
  all.reserve(images.size() * static_cast<size_t>(extractor.dim()));
  extractor.extract(dataset, images, views, epoch, [&](std::span<const float> rows) {
    all.insert(all.end(), rows.begin(), rows.end());
    on_batch(std::ssize(rows) / extractor.dim());
    return true;
  });
  return all;
}

ClassifierSettings classifier_settings(const LinearSettings& s, const ParameterStore& encoder, const Dataset& train) {
  return {.dim = feature_width(encoder.config()),
          .classes = static_cast<int64_t>(train.classes.size()),
          .max_rows = std::max(s.batch, s.eval_batch),
          .lr = s.lr,
          .weight_decay = s.weight_decay,
          .seed = s.seed};
}

/// Protocol frozen.
class FrozenEvaluation final : public LinearEvaluation {
 public:
  FrozenEvaluation(Backend& backend, ParameterStore& encoder, const Dataset& train, const Dataset& test,
                   const LinearSettings& settings, const std::function<void(int64_t done, int64_t all)>& on_features)
      : LinearEvaluation(backend, encoder, train, test, settings), order_(train.images.size()) {
    const std::vector<int32_t> images = all_images(train);
    const int64_t all = std::ssize(images) * std::max(1, settings.views) + std::ssize(test_images_);
    int64_t done = 0;
    const auto count = [&](int64_t of_batch) {
      done += of_batch;
      if (on_features) on_features(done, all);
    };
    const ViewSampler whole = evaluation_views(settings.eval_size);
    if (settings.views == 0) {
      FeatureExtractor of_train = extractor(train);
      copies_.push_back(features_of(of_train, train, images, whole, 0, count));
    } else {
      FeatureExtractor augmented = extractor(train, augment_desc(settings.augment));
      for (int copy = 0; copy < settings.views; ++copy)
        copies_.push_back(features_of(augmented, train, images, training_views(settings.augment, settings.seed),
                                      static_cast<uint32_t>(copy), count));
    }
    FeatureExtractor of_test = extractor(test);
    test_features_ = features_of(of_test, test, test_images_, whole, 0, count);
  }

 private:
  double train_epoch(int64_t epoch) override {
    const std::vector<float>& features = copies_[static_cast<size_t>(epoch) % copies_.size()];
    epoch_permutation(settings_.seed, static_cast<uint32_t>(epoch), order_);
    const auto width = static_cast<size_t>(dim()), batch = static_cast<size_t>(settings_.batch);
    std::vector<float> gathered;
    std::vector<int32_t> labels;
    double loss = 0;
    for (size_t first = 0; first < order_.size(); first += batch) {
      gathered.clear();
      labels.clear();
      for (size_t i = first; i < std::min(first + batch, order_.size()); ++i) {
        const auto image = static_cast<size_t>(order_[i]);
        gathered.insert(gathered.end(), &features[image * width], &features[image * width] + width);
        labels.push_back(train_.labels[image]);
      }
      loss += train_on(classifier_.upload(gathered), labels) * static_cast<double>(labels.size());
    }
    return loss / static_cast<double>(order_.size());
  }

  std::vector<float> test_scores() override {
    std::vector<float> scores;
    const size_t piece = static_cast<size_t>(settings_.eval_batch * dim());
    for (size_t at = 0; at < test_features_.size(); at += piece)
      append_logits(std::span<const float>(test_features_).subspan(at, std::min(piece, test_features_.size() - at)),
                    scores);
    return scores;
  }

  std::vector<std::vector<float>> copies_;  // [images, dim] each
  std::vector<float> test_features_;
  std::vector<int32_t> order_;
};

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

/// Batch norm in training mode needs two values of every channel, also in the last batch of an epoch and behind the
/// last convolution.
void check_batch_norm(const LinearSettings& s, const ModelConfig& encoder, int64_t images) {
  const int64_t side = ceil_div(s.augment.size, encoder.stem == Stem::cifar ? 8 : 32);
  const int64_t left = images % s.batch, last = left > 0 ? left : std::min(s.batch, images);
  require(
      last * side * side >= 2, ErrorKind::usage,
      "the last batch of an epoch has one image, of which one pixel is left at the end of the network, and batch norm "
      "in training mode needs two: give another --batch_size or a larger --image_size, or --protocol frozen");
}

}  // namespace

LinearEvaluation::LinearEvaluation(Backend& backend, ParameterStore& encoder, const Dataset& train, const Dataset& test,
                                   const LinearSettings& settings)
    : backend_(backend),
      encoder_(encoder),
      train_(train),
      test_(test),
      settings_(settings),
      classifier_(backend, classifier_settings(settings, encoder, train)),
      labels_(backend, static_cast<size_t>(settings.batch) * sizeof(int32_t)),
      test_images_(labelled_images(test)),
      test_labels_(labels_of(test, test_images_)) {}

LinearResult LinearEvaluation::run(const std::function<void(const LinearEpoch&)>& on_epoch) {
  LinearEpoch last;
  for (int64_t epoch = 0; epoch < settings_.epochs; ++epoch) {
    last = {.epoch = epoch + 1, .loss = train_epoch(epoch)};
    const bool tested = settings_.eval_every > 0 && last.epoch % settings_.eval_every == 0;
    if (tested || last.epoch == settings_.epochs) {
      const std::vector<float> scores = test_scores();
      const auto classes = static_cast<int64_t>(train_.classes.size());
      last.top1 = top_k_percent(scores, test_labels_, classes, 1);
      last.top5 = top_k_percent(scores, test_labels_, classes, 5);
    }
    on_epoch(last);
  }
  return {last, classifier_.values()};
}

FeatureExtractor LinearEvaluation::extractor(const Dataset& dataset, const AugmentDesc& pixels) {
  return {backend_, encoder_, pixels, dataset.size(), settings_.eval_batch, settings_.dtype};
}

FeatureExtractor LinearEvaluation::extractor(const Dataset& dataset) {
  return extractor(dataset, evaluation_pixels(dataset, settings_.eval_size, augment_desc(settings_.augment)));
}

double LinearEvaluation::train_on(ConstTensorRef features, std::span<const int32_t> labels, TensorRef dfeatures) {
  const TensorRef targets = labels_.view({static_cast<int64_t>(labels.size())}, DType::i32);
  backend_.copy_in(targets, labels.data());
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
                               const std::function<void(int64_t done, int64_t all)>& on_features) {
  check(settings);
  check(train, test);
  if (settings.protocol == LinearProtocol::frozen)
    return FrozenEvaluation(backend, encoder, train, test, settings, on_features).run(on_epoch);
  check_batch_norm(settings, encoder.config(), train.size());
  if (settings.protocol == LinearProtocol::finetune && encoder.config().head)
    fail(ErrorKind::internal, "finetuning takes an encoder without projection head");
  return network_evaluation(backend, encoder, train, test, settings)->run(on_epoch);
}

}  // namespace dcl
