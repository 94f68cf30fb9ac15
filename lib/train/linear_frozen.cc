#include <algorithm>
#include <utility>

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

/// Protocol frozen.
class FrozenEvaluation final : public LinearEvaluation {
 public:
  FrozenEvaluation(const LinearTask& task, const FrozenFeatures& features, std::vector<int32_t> images)
      : LinearEvaluation(task), features_(features), images_(std::move(images)), order_(images_.size()) {}

 private:
  double train_epoch(int64_t epoch) override {
    const std::vector<float>& features = features_.copies[static_cast<size_t>(epoch) % features_.copies.size()];
    epoch_permutation(task_.settings.seed, static_cast<uint32_t>(epoch), order_);
    const auto width = static_cast<size_t>(dim()), batch = static_cast<size_t>(task_.settings.batch);
    std::vector<float> gathered;
    std::vector<int32_t> labels;
    double loss = 0;
    for (size_t first = 0; first < order_.size(); first += batch) {
      gathered.clear();
      labels.clear();
      for (size_t i = first; i < std::min(first + batch, order_.size()); ++i) {
        const auto image = static_cast<size_t>(images_[static_cast<size_t>(order_[i])]);
        gathered.insert(gathered.end(), &features[image * width], &features[image * width] + width);
        labels.push_back(task_.train.labels[image]);
      }
      loss += train_on(classifier_.upload(gathered), labels) * static_cast<double>(labels.size());
    }
    return loss / static_cast<double>(order_.size());
  }

  std::vector<float> test_scores() override {
    std::vector<float> scores;
    const std::span<const float> features(features_.test);
    const size_t piece = static_cast<size_t>(task_.settings.eval_batch * dim());
    for (size_t at = 0; at < features.size(); at += piece)
      append_logits(features.subspan(at, std::min(piece, features.size() - at)), scores);
    return scores;
  }

  const FrozenFeatures& features_;
  const std::vector<int32_t> images_;
  std::vector<int32_t> order_;  ///< places in images_
};

}  // namespace

FrozenFeatures frozen_features(const LinearTask& task) {
  const LinearSettings& settings = task.settings;
  const std::vector<int32_t> images = all_images(task.train), test_images = labelled_images(task.test);
  const int64_t all = std::ssize(images) * std::max(1, settings.views) + std::ssize(test_images);
  int64_t done = 0;
  const auto count = [&](int64_t of_batch) {
    done += of_batch;
    if (task.on_features) task.on_features(done, all);
  };
  const ViewSampler whole = evaluation_views(settings.eval_size);
  FrozenFeatures out;
  if (settings.views == 0) {
    FeatureExtractor of_train = task.extractor(task.train);
    out.copies.push_back(features_of(of_train, task.train, images, whole, 0, count));
  } else {
    FeatureExtractor augmented = task.view_extractor();
    for (int copy = 0; copy < settings.views; ++copy)
      out.copies.push_back(features_of(augmented, task.train, images, training_views(settings.augment, settings.seed),
                                       static_cast<uint32_t>(copy), count));
  }
  FeatureExtractor of_test = task.extractor(task.test);
  out.test = features_of(of_test, task.test, test_images, whole, 0, count);
  return out;
}

std::unique_ptr<LinearEvaluation> frozen_evaluation(const LinearTask& task, const FrozenFeatures& features,
                                                    std::vector<int32_t> images) {
  return std::make_unique<FrozenEvaluation>(task, features, std::move(images));
}

}  // namespace dcl
