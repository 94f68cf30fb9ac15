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
  BatchEvaluation(Backend& backend, ParameterStore& encoder, const Dataset& train, const Dataset& test,
                  const LinearSettings& settings)
      : LinearEvaluation(backend, encoder, train, test, settings),
        loader_(train, backend, training_views(settings.augment, settings.seed), loader_options(settings)),
        input_(backend, augment_desc(settings.augment), settings.batch, 1) {
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
    const NetworkShape shape{.batch = images,
                             .views = 1,
                             .height = settings_.augment.size,
                             .width = settings_.augment.size,
                             .dtype = settings_.dtype,
                             .backward = settings_.protocol == LinearProtocol::finetune};
    return networks_.try_emplace(images, backend_, encoder_.config(), shape).first->second;
  }

  double train_epoch(int64_t) override {
    double loss = 0;
    int64_t images = 0;
    for (int64_t step = 0; step < loader_.steps_per_epoch(); ++step) {
      const Batch* batch = loader_.next();
      const TrainingPlan& net = network(batch->images);
      input_.upload(*batch);
      input_.make_views(net.input());
      net.forward(encoder_, /*update_running=*/true);
      loss += learn(net, batch->labels) * static_cast<double>(batch->images);
      images += batch->images;
    }
    return loss / static_cast<double>(images);
  }

  std::vector<float> test_scores() override {
    std::vector<float> scores;
    linear_extractor(backend_, encoder_, test_, settings_).extract(test_, test_images_, evaluation_views(settings_.eval_size), 0,
                             [&](std::span<const float> rows) {
                               append_logits(rows, scores);
                               return true;
                             });
    return scores;
  }

  Loader loader_;
  BatchInput input_;
  std::map<int64_t, TrainingPlan> networks_;
};

/// Protocol finetune: the gradient goes on into the encoder.
class FinetuneEvaluation final : public BatchEvaluation {
 public:
  FinetuneEvaluation(Backend& backend, ParameterStore& encoder, const Dataset& train, const Dataset& test,
                     const LinearSettings& settings)
      : BatchEvaluation(backend, encoder, train, test, settings),
        optimizer_(backend, encoder, {.weight_decay = settings.weight_decay}) {}

 private:
  double learn(const TrainingPlan& network, std::span<const int32_t> labels) override {
    const double loss = train_on(network.features(), labels, network.feature_gradients());
    network.backward(encoder_);
    optimizer_.prepare(updates_++, settings_.lr);
    optimizer_.update();  // the classifier has refused a loss that is not finite
    return loss;
  }

  Optimizer optimizer_;
  int64_t updates_ = 0;
};

}  // namespace

std::unique_ptr<LinearEvaluation> network_evaluation(Backend& backend, ParameterStore& encoder, const Dataset& train,
                                                     const Dataset& test, const LinearSettings& settings) {
  if (settings.protocol == LinearProtocol::finetune)
    return std::make_unique<FinetuneEvaluation>(backend, encoder, train, test, settings);
  return std::make_unique<BatchEvaluation>(backend, encoder, train, test, settings);
}

}  // namespace dcl
