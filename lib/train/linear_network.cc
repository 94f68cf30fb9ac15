#include <map>

#include "data/batch_input.h"
#include "nn/network.h"
#include "train/linear_impl.h"
#include "train/optimizer.h"

namespace dcl {
namespace {

LoaderOptions loader_options(const LinearSettings& settings) {
  LoaderOptions options;
  options.augment = augment_desc(settings.augment);
  options.batch = settings.batch;
  options.views = 1;
  options.dtype = settings.dtype;
  options.seed = settings.seed;
  options.drop_last = false;
  options.end_epoch = settings.epochs;
  return options;
}

/// Protocol batch.
class BatchEvaluation : public LinearEvaluation {
 public:
  explicit BatchEvaluation(const LinearTask& task)
      : LinearEvaluation(task),
        loader_(task.train, task.backend, training_views(task.settings.augment, task.settings.seed),
                loader_options(task.settings)),
        input_(task.backend, augment_desc(task.settings.augment), task.settings.batch, 1) {
    loader_.start();
  }

 protected:
  /// After the network's forward pass; returns the mean loss.
  virtual double learn(const TrainingPlan& network, std::span<const int32_t> labels) {
    return train_on(network.features(), labels);
  }

 private:
  /// The network in training mode for a batch of `images`: a full one, or the last of an epoch.
  const TrainingPlan& network(int64_t images) {
    const auto found = networks_.find(images);
    if (found != networks_.end()) return found->second;
    const LinearSettings& settings = task_.settings;
    const NetworkShape shape{.batch = images,
                             .views = 1,
                             .height = settings.augment.size,
                             .width = settings.augment.size,
                             .dtype = settings.dtype,
                             .backward = settings.protocol == LinearProtocol::finetune};
    return networks_.try_emplace(images, task_.backend, task_.encoder.config(), shape).first->second;
  }

  double train_epoch(int64_t) override {
    double loss = 0;
    int64_t images = 0;
    for (int64_t step = 0; step < loader_.steps_per_epoch(); ++step) {
      const Batch* batch = loader_.next();
      const TrainingPlan& net = network(batch->images);
      input_.upload(*batch);
      input_.make_views(net.input());
      net.forward(task_.encoder, /*update_running=*/true);
      loss += learn(net, batch->labels) * static_cast<double>(batch->images);
      images += batch->images;
    }
    return loss / static_cast<double>(images);
  }

  std::vector<float> test_scores() override {
    std::vector<float> scores;
    int64_t done = 0;
    const auto keep = [&](std::span<const float> rows) {
      append_logits(rows, scores);
      done += std::ssize(rows) / dim();
      if (task_.on_features) task_.on_features(done, std::ssize(test_images_));
      return true;
    };
    task_.extractor(task_.test).extract(task_.test, test_images_, evaluation_views(task_.settings.eval_size), 0, keep);
    return scores;
  }

  Loader loader_;
  BatchInput input_;
  std::map<int64_t, TrainingPlan> networks_;
};

/// Protocol finetune: the gradient goes on into the encoder.
class FinetuneEvaluation final : public BatchEvaluation {
 public:
  explicit FinetuneEvaluation(const LinearTask& task)
      : BatchEvaluation(task), optimizer_(task.backend, task.encoder, {.weight_decay = task.settings.weight_decay}) {}

 private:
  double learn(const TrainingPlan& network, std::span<const int32_t> labels) override {
    const double loss = train_on(network.features(), labels, network.feature_gradients());
    network.backward(task_.encoder);
    optimizer_.prepare(updates_++, task_.settings.lr);
    optimizer_.update();  // the classifier has refused a loss that is not finite
    return loss;
  }

  Optimizer optimizer_;
  int64_t updates_ = 0;
};

}  // namespace

std::unique_ptr<LinearEvaluation> network_evaluation(const LinearTask& task) {
  if (task.settings.protocol == LinearProtocol::finetune) return std::make_unique<FinetuneEvaluation>(task);
  return std::make_unique<BatchEvaluation>(task);
}

}  // namespace dcl
