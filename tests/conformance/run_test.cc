// Whole runs on a device: training that is interrupted and continued, and the evaluations of its encoder, beside the
// eigen backend. (On CPU backends the programs' own tests do this.)
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "support/backends.h"
#include "support/process.h"
#include "train/linear.h"
#include "train/monitor.h"
#include "train/pretrain.h"
#include "train/view_images.h"

namespace dcl::test {
namespace {

PretrainSettings tiny() {
  PretrainSettings settings;
  settings.model.arch = "resnet18";
  settings.augment.size = 8;
  settings.batch = 4;
  settings.epochs = 2;
  settings.seed = 3;
  return settings;
}

class Steps : public PretrainObserver {
 public:
  void on_step(const StepRecord& record) override { records.push_back(record); }
  std::vector<StepRecord> records;
};

class Run : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!backend_->on_device()) GTEST_SKIP() << "for devices";
  }

  /// Trains in `folder` up to `steps` in all, from its newest checkpoint if there is one.
  std::vector<StepRecord> train(const std::filesystem::path& folder, int64_t steps) {
    PretrainPlan plan;
    plan.max_steps = steps;
    Pretrainer pretrainer(*backend_, data_, nullptr, nullptr, tiny(), plan, folder);
    if (const auto checkpoint = choose_checkpoint("auto", CheckpointFolder(folder))) pretrainer.resume(*checkpoint);
    Steps steps_seen;
    pretrainer.run(steps_seen);
    return steps_seen.records;
  }

  static ParameterStore encoder(Backend& backend, bool with_gradients = false) {
    ModelConfig config = tiny().model;
    config.head = false;
    ParameterStore store(backend, config, with_gradients);
    store.initialise(4);
    return store;
  }

  std::unique_ptr<Backend> backend_ = make_backend(GetParam()), eigen_ = make_backend("eigen");
  Dataset data_ = load_dataset({.name = "shapes", .split = "train", .shapes_count = 8, .shapes_size = 16});
  Dataset test_ = load_dataset({.name = "shapes", .split = "test", .shapes_count = 40, .shapes_size = 16});
};

TEST_P(Run, ContinuesBitForBitAndLeavesNoStepUnreported) {
  const TemporaryFolder folder;
  const auto whole = train(folder / "whole", 3);
  const auto first = train(folder / "parts", 1), rest = train(folder / "parts", 3);
  ASSERT_EQ(whole.size(), 3u);
  ASSERT_EQ(first.size(), 1u);
  ASSERT_EQ(rest.size(), 2u);
  const StepRecord* parts[] = {&first[0], &rest[0], &rest[1]};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(whole[i].step, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(parts[i]->step, whole[i].step);
    EXPECT_EQ(parts[i]->loss, whole[i].loss);
  }
  const CheckpointFolder a(folder / "whole"), b(folder / "parts");
  EXPECT_EQ(read_text(a.model_path(3).string()), read_text(b.model_path(3).string()));
}

TEST_P(Run, FeaturesAreThoseOfEigen) {
  const std::vector<int32_t> images = all_images(data_);
  std::vector<float> features[2];
  Backend* backends[] = {backend_.get(), eigen_.get()};
  for (int i = 0; i < 2; ++i) {
    const ParameterStore store = encoder(*backends[i]);
    FeatureExtractor extractor(*backends[i], store, evaluation_pixels(data_, 8), data_.size(), 3,
                               DType::f32);  // 3, 3, 2
    extractor.extract(data_, images, evaluation_views(8), 0, [&](std::span<const float> rows) {
      features[i].insert(features[i].end(), rows.begin(), rows.end());
      return true;
    });
  }
  ASSERT_EQ(features[0].size(), images.size() * 512);
  double difference = 0, size = 0;
  for (size_t i = 0; i < features[0].size(); ++i) {
    difference += std::pow(double{features[0][i]} - double{features[1][i]}, 2);
    size += std::pow(double{features[1][i]}, 2);
  }
  EXPECT_GT(size, 0);
  EXPECT_LE(std::sqrt(difference / size), 1e-5);
}

TEST_P(Run, KnnAndLinearEvaluationAreThoseOfEigen) {
  MonitorSettings monitor;
  monitor.k = 3, monitor.batch = 8, monitor.eval_size = 8;
  LinearSettings linear;
  linear.epochs = 2, linear.batch = 4, linear.eval_batch = 6, linear.eval_size = 8;
  linear.augment.size = 16;  // batch norm over 4 x 2 x 2 pixels at least
  double losses[2][3];
  Backend* backends[] = {backend_.get(), eigen_.get()};
  std::optional<MonitorResult> neighbours[2];
  for (int i = 0; i < 2; ++i) {
    ParameterStore store = encoder(*backends[i], /*with_gradients=*/true);
    neighbours[i] = knn_accuracy(*backends[i], store, data_, test_, monitor, DType::f32);
    for (const LinearProtocol protocol : {LinearProtocol::frozen, LinearProtocol::batch, LinearProtocol::finetune}) {
      linear.protocol = protocol;
      losses[i][static_cast<int>(protocol)] =
          linear_evaluation(*backends[i], store, data_, test_, linear, [](const LinearEpoch&) {}).last.loss;
    }
  }
  ASSERT_TRUE(neighbours[0]);
  EXPECT_EQ(neighbours[0]->top1, neighbours[1]->top1);
  EXPECT_EQ(neighbours[0]->queries, test_.size());
  for (const LinearProtocol protocol : {LinearProtocol::frozen, LinearProtocol::batch})
    EXPECT_NEAR(losses[0][static_cast<int>(protocol)], losses[1][static_cast<int>(protocol)], 1e-4);
  // Behind updates of the whole network, whose Adam divides by gradients near 0.
  const int finetune = static_cast<int>(LinearProtocol::finetune);
  EXPECT_NEAR(losses[0][finetune], losses[1][finetune], 0.05);
}

/// The encoder is back in the device's memory as it was before another fold is trained on.
TEST_P(Run, FoldsOfLinearEvaluationAreWhatTheyAreAlone) {
  const std::vector<std::vector<int32_t>> folds = {{7, 1, 4}, {2, 0, 1, 6}};
  LinearSettings linear;
  const Dataset test = test_.subset(std::vector<int32_t>{0, 1, 2, 3, 4, 5});
  linear.epochs = 1, linear.batch = 4, linear.eval_batch = 8, linear.eval_size = 8, linear.augment.size = 16;
  for (const LinearProtocol protocol : {LinearProtocol::frozen, LinearProtocol::batch, LinearProtocol::finetune}) {
    linear.protocol = protocol;
    const auto last_of = [&](std::span<const std::vector<int32_t>> some) {
      ParameterStore store = encoder(*backend_, /*with_gradients=*/true);
      return linear_evaluations(*backend_, store, data_, test, some, linear, [](size_t, const LinearEpoch&) {}).back();
    };
    const LinearResult after = last_of(folds), alone = last_of(std::span(folds).last(1));
    EXPECT_EQ(after.last.loss, alone.last.loss) << static_cast<int>(protocol);
    EXPECT_EQ(after.last.top1, alone.last.top1) << static_cast<int>(protocol);
    EXPECT_TRUE(after.classifier.weight == alone.classifier.weight) << static_cast<int>(protocol);
  }
}

TEST_P(Run, PicturesOfViewsAreThoseOfEigen) {
  const TiledImage views = first_training_views(*backend_, data_, tiny());
  EXPECT_EQ(views.rgb, first_training_views(*eigen_, data_, tiny()).rgb);
  EXPECT_NE(std::set(views.rgb.begin(), views.rgb.end()).size(), 1u);
  const std::vector<int32_t> images = {0, 3, 7};
  EXPECT_EQ(thumbnails(*backend_, data_, images, 8).rgb, thumbnails(*eigen_, data_, images, 8).rgb);
}

INSTANTIATE_TEST_SUITE_P(Backends, Run, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
