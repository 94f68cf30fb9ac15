// A batch in parts on every backend: the gradients are those of the whole batch at once, normalised in the same groups;
// the running statistics those of the parts one after the other; a batch of one part is the plan itself.
#include "train/batch_network.h"

#include <gtest/gtest.h>

#include <cmath>

#include "data/loader.h"
#include "objective/objective.h"
#include "support/backends.h"
#include "train/pretrain_settings.h"

namespace dcl::test {
namespace {

constexpr int64_t kBatch = 6, kPart = 3, kSize = 9;
constexpr int kViews = 2;

class BatchInParts : public testing::TestWithParam<std::string> {
 protected:
  struct Outcome {
    std::vector<float> embeddings, gradients, statistics;
  };

  BatchInParts() {
    settings_.model.arch = "resnet18";
    settings_.augment.size = kSize;
    options_.augment = augment_desc(settings_.augment);
    options_.batch = kBatch;
    options_.views = kViews;
    options_.threads = 1;
    loader_.emplace(data_, *backend_, training_views(settings_.augment, 1), options_);
    loader_->start();
    input_.emplace(*backend_, options_.augment, kBatch, kViews);
    input_->upload(*loader_->next());
  }

  static NetworkShape part(int64_t images, int64_t bn_groups = 1) {
    return {.batch = images, .views = kViews, .height = kSize, .width = kSize, .bn_groups = bn_groups};
  }
  std::vector<float> values(ConstTensorRef tensor) const {
    std::vector<float> host(static_cast<size_t>(tensor.shape.elements()));
    backend_->copy_out(host.data(), tensor);
    return host;
  }
  ParameterStore store() const {
    ParameterStore store(*backend_, settings_.model, true);
    store.initialise(4);
    return store;
  }
  void objective(TensorRef embeddings, TensorRef gradients) const {
    const ObjectiveDesc desc = objective_desc(settings_.objective, kBatch, kViews, settings_.model.feature_dim);
    const Buffer result(*backend_, kObjectiveResults * sizeof(double)),
        room(*backend_, backend_->objective_workspace(desc));
    backend_->objective(desc, embeddings, input_->labels(), result.view({kObjectiveResults}, DType::f64), gradients,
                        {room.data(), room.bytes()});
  }
  Outcome in_parts(int64_t images) const {
    ParameterStore parameters = store();
    backend_->fill(parameters.gradients(), 7);  // what was there before counts for nothing
    const BatchNetwork network(*backend_, settings_.model, part(images), kBatch);
    network.forward(*input_, parameters);
    objective(network.embeddings(), network.embedding_gradients());
    network.backward(*input_, parameters);
    return {values(network.embeddings()), values(parameters.gradients()), values(parameters.statistics())};
  }
  Outcome at_once(int64_t bn_groups) const {
    ParameterStore parameters = store();
    const TrainingPlan network(*backend_, settings_.model, part(kBatch, bn_groups));
    input_->make_views(network.input());
    network.forward(parameters);
    objective(network.embeddings(), network.embedding_gradients());
    network.backward(parameters);
    return {values(network.embeddings()), values(parameters.gradients()), values(parameters.statistics())};
  }
  /// |a - b| / |b|
  static double difference(const std::vector<float>& a, const std::vector<float>& b) {
    double error = 0, size = 0;
    for (size_t i = 0; i < a.size(); ++i)
      error += std::pow(double{a[i]} - double{b[i]}, 2), size += std::pow(double{b[i]}, 2);
    return std::sqrt(error / size);
  }

  PretrainSettings settings_;
  LoaderOptions options_;
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());
  Dataset data_ = load_dataset({.name = "shapes", .split = "train", .shapes_count = kBatch, .shapes_size = 16});
  std::optional<Loader> loader_;
  std::optional<BatchInput> input_;
};

// A part's convolutions may add up in another order than the whole batch's, and normalising groups of three rows and
// rectifying amplify that.
TEST_P(BatchInParts, HaveTheGradientsOfTheWhole) {
  const Outcome parts = in_parts(kPart), whole = at_once(kBatch / kPart);
  EXPECT_LE(difference(parts.embeddings, whole.embeddings), 1e-4);
  EXPECT_LE(difference(parts.gradients, whole.gradients), 1e-2);
}

TEST_P(BatchInParts, MoveTheRunningStatisticsPartAfterPart) {
  ParameterStore parameters = store();
  const TrainingPlan network(*backend_, settings_.model, part(kPart));
  for (int64_t first = 0; first < kBatch; first += kPart) {
    input_->make_views(network.input(), first);
    network.forward(parameters);
  }
  EXPECT_TRUE(in_parts(kPart).statistics == values(parameters.statistics()));
}

/// As PyTorch's DataParallel, of whose replicas the first alone keeps its running statistics.
TEST_P(BatchInParts, GroupsMoveTheRunningStatisticsByTheFirstOfEveryView) {
  ParameterStore parameters = store();
  const TrainingPlan first(*backend_, settings_.model, part(kPart));
  input_->make_views(first.input(), 0);
  first.forward(parameters);
  EXPECT_LE(difference(at_once(kBatch / kPart).statistics, values(parameters.statistics())), 1e-4);
  EXPECT_GT(difference(in_parts(kPart).statistics, values(parameters.statistics())), 1e-3);
}

TEST_P(BatchInParts, OfOnePartAreThePlanItself) {
  if (backend_->info().name != "eigen") GTEST_SKIP() << "no backend has a share in this";
  const Outcome parts = in_parts(kBatch), whole = at_once(1);
  EXPECT_TRUE(parts.embeddings == whole.embeddings);
  EXPECT_TRUE(parts.gradients == whole.gradients);
  EXPECT_TRUE(parts.statistics == whole.statistics);
}

INSTANTIATE_TEST_SUITE_P(Backends, BatchInParts, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
