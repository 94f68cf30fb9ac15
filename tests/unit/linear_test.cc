// What linear evaluation asks of the backend.
#include "train/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/error.h"
#include "eigen/eigen_backend.h"
#include "math/philox.h"
#include "nn/network.h"
#include "train/monitor.h"

namespace dcl {
namespace {

/// Remembers how many images the largest forward pass in evaluation mode had.
class CountingBackend : public EigenBackend {
 public:
  int64_t most_images = 0;

 protected:
  void do_fused_conv(const FusedConvDesc& d, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                     ConstTensorRef residual, TensorRef y, Workspace workspace) override {
    most_images = std::max(most_images, d.conv.n);
    EigenBackend::do_fused_conv(d, x, packed, bias, residual, y, workspace);
  }
};

TEST(Linear, AForwardPassHasNoMoreImagesThanThereAre) {
  DatasetSpec spec;
  spec.shapes_count = 15, spec.shapes_size = 16;
  const Dataset train = load_dataset(spec);
  spec.split = "test", spec.shapes_count = 5;
  const Dataset test = load_dataset(spec);
  for (const auto& [protocol, views, expected] : {std::tuple{LinearProtocol::frozen, 0, train.size()},
                                                  {LinearProtocol::frozen, 1, train.size()},
                                                  {LinearProtocol::batch, 0, test.size()}}) {
    CountingBackend backend;
    ParameterStore encoder(backend, {.arch = "resnet18"}, false);
    encoder.initialise(1);
    LinearSettings settings;
    settings.protocol = protocol, settings.views = views;
    settings.epochs = 1, settings.augment.size = 16;
    linear_evaluation(backend, encoder, train, test, settings, [](const LinearEpoch&) {});
    EXPECT_EQ(backend.most_images, expected) << "protocol " << static_cast<int>(protocol) << ", views " << views;
  }
}

TEST(Linear, FeaturesThatAreComputedOnceAreCounted) {
  const Dataset data = load_dataset({.shapes_count = 9, .shapes_size = 16});
  for (const int views : {0, 2}) {
    EigenBackend backend;
    ParameterStore encoder(backend, {.arch = "resnet18", .head = false}, false);
    encoder.initialise(1);
    LinearSettings settings;
    settings.protocol = LinearProtocol::frozen, settings.views = views;
    settings.epochs = 1, settings.eval_batch = 8, settings.augment.size = 16;
    std::vector<int64_t> done;
    const int64_t expected = 9 * std::max(1, views) + 9;
    linear_evaluation(
        backend, encoder, data, data, settings, [](const LinearEpoch&) {},
        [&](int64_t images, int64_t all) {
          EXPECT_EQ(all, expected);
          done.push_back(images);
        });
    EXPECT_EQ(done, views == 0 ? (std::vector<int64_t>{5, 9, 14, 18}) : (std::vector<int64_t>{5, 9, 14, 18, 23, 27}));
  }
}

TEST(Linear, FeaturesOfEveryTestAreCounted) {
  const Dataset data = load_dataset({.shapes_count = 9, .shapes_size = 16});
  EigenBackend backend;
  ParameterStore encoder(backend, {.arch = "resnet18", .head = false}, false);
  encoder.initialise(1);
  LinearSettings settings;
  settings.epochs = 2, settings.eval_every = 1, settings.eval_batch = 8, settings.augment.size = 16;
  std::vector<std::pair<int64_t, int64_t>> told;
  linear_evaluation(
      backend, encoder, data, data, settings, [](const LinearEpoch&) {},
      [&](int64_t done, int64_t all) { told.emplace_back(done, all); });
  EXPECT_EQ(told, (std::vector<std::pair<int64_t, int64_t>>{{5, 9}, {9, 9}, {5, 9}, {9, 9}}));
}

/// Three folds that share images and differ in size, with a last batch of another size than the others.
class Folds : public testing::Test {
 protected:
  Folds() { settings_.epochs = 2, settings_.batch = 4, settings_.augment.size = 16; }
  ParameterStore encoder() {
    ParameterStore encoder(backend_, {.arch = "resnet18", .head = false}, true);
    encoder.initialise(1);
    return encoder;
  }
  std::vector<LinearResult> results_of(ParameterStore& encoder, std::span<const std::vector<int32_t>> folds) {
    return linear_evaluations(backend_, encoder, train_, test_, folds, settings_, [](size_t, const LinearEpoch&) {});
  }
  static std::vector<float> host(ConstTensorRef values) {
    return {values.as<float>(), values.as<float>() + values.shape.elements()};
  }

  const Dataset train_ = load_dataset({.shapes_count = 24, .shapes_size = 16});
  const Dataset test_ = load_dataset({.split = "test", .shapes_count = 20, .shapes_size = 16});
  const std::vector<std::vector<int32_t>> folds_ = {{20, 3, 7, 1, 12, 9}, {2, 4, 6, 8, 10}, {23, 3, 0, 11, 5, 17, 13}};
  EigenBackend backend_;
  LinearSettings settings_;
};

/// An encoder that no other fold has touched, and these images alone.
TEST_F(Folds, AreTrainedAsIfThereWasNothingElse) {
  for (const LinearProtocol protocol : {LinearProtocol::batch, LinearProtocol::finetune}) {
    settings_.protocol = protocol;
    ParameterStore shared = encoder();
    const std::vector<LinearResult> results = results_of(shared, folds_);
    ASSERT_EQ(results.size(), folds_.size());
    for (size_t i = 0; i < folds_.size(); ++i) {
      ParameterStore own = encoder();
      const LinearResult alone =
          linear_evaluation(backend_, own, train_.subset(folds_[i]), test_, settings_, [](const LinearEpoch&) {});
      EXPECT_EQ(results[i].last.loss, alone.last.loss) << i;
      EXPECT_EQ(results[i].last.top1, alone.last.top1) << i;
      EXPECT_EQ(results[i].classifier.weight, alone.classifier.weight) << i;
      EXPECT_NE(results[i].last.loss, results[(i + 1) % 3].last.loss);
      if (i + 1 < folds_.size()) continue;
      EXPECT_TRUE(host(shared.values()) == host(own.values()));
      EXPECT_TRUE(host(shared.statistics()) == host(own.statistics()));
      const ParameterEntry& counter = shared.entry("f.1.num_batches_tracked");
      EXPECT_EQ(shared.batches_tracked(counter), own.batches_tracked(counter));
    }
  }
}

/// The last bits of a feature depend on how many images are in the network with it.
TEST_F(Folds, FrozenAreTrainedOnTheFeaturesOfTheirImages) {
  settings_.protocol = LinearProtocol::frozen;
  ParameterStore store = encoder();
  const std::vector<LinearResult> results = results_of(store, folds_);
  ASSERT_EQ(results.size(), folds_.size());
  for (size_t i = 0; i < folds_.size(); ++i) {
    const LinearResult alone =
        linear_evaluation(backend_, store, train_.subset(folds_[i]), test_, settings_, [](const LinearEpoch&) {});
    EXPECT_NEAR(results[i].last.loss, alone.last.loss, 1e-5) << i;
    EXPECT_EQ(results[i].last.top1, alone.last.top1) << i;
    for (size_t w = 0; w < alone.classifier.weight.size(); ++w)
      ASSERT_NEAR(results[i].classifier.weight[w], alone.classifier.weight[w], 1e-4) << i;
    EXPECT_GT(std::abs(results[i].last.loss - results[(i + 1) % 3].last.loss), 1e-2);
  }
}

/// The bits of a fold's result are those of a run with it alone, also of augmented copies; an image's are its own,
/// whichever folds it is in.
TEST_F(Folds, DoNotDependOnEachOther) {
  settings_.protocol = LinearProtocol::frozen;
  ParameterStore store = encoder();
  for (const int views : {0, 2}) {
    settings_.views = views, settings_.epochs = 3;
    const auto all = results_of(store, folds_), last = results_of(store, std::span(folds_).last(1));
    ASSERT_EQ(last.size(), 1u);
    EXPECT_EQ(all[2].classifier.weight, last[0].classifier.weight) << views;
    EXPECT_EQ(all[2].last.loss, last[0].last.loss) << views;
    EXPECT_NE(all[1].classifier.weight, last[0].classifier.weight) << views;
  }
}

TEST_F(Folds, ReportTheirEpochsAndComputeFeaturesOnce) {
  settings_.protocol = LinearProtocol::frozen, settings_.eval_every = 1;
  ParameterStore store = encoder();
  std::vector<std::pair<size_t, int64_t>> told;
  std::vector<int64_t> featured;
  linear_evaluations(
      backend_, store, train_, test_, folds_, settings_,
      [&](size_t fold, const LinearEpoch& epoch) {
        told.emplace_back(fold, epoch.epoch);
        EXPECT_TRUE(epoch.top1);
      },
      [&](int64_t done, int64_t all) {
        EXPECT_EQ(all, 44);
        featured.push_back(done);
      });
  EXPECT_EQ(told, (std::vector<std::pair<size_t, int64_t>>{{0, 1}, {0, 2}, {1, 1}, {1, 2}, {2, 1}, {2, 2}}));
  EXPECT_EQ(featured, (std::vector<int64_t>{24, 44}));
}

TEST_F(Folds, ThatCannotBeTrainedOnAreRefusedBeforeTheFirst) {
  ParameterStore store = encoder();
  const auto refused = [&](const std::vector<int32_t>& second) {
    const std::vector<std::vector<int32_t>> folds = {{0, 1}, second};
    try {
      linear_evaluations(backend_, store, train_, test_, folds, settings_,
                         [](size_t, const LinearEpoch&) { FAIL() << "trained"; });
    } catch (const Error& error) {
      return error.kind();
    }
    ADD_FAILURE() << "not refused";
    return ErrorKind::io;
  };
  for (const std::vector<int32_t>& fold : {std::vector<int32_t>{}, {0, 24}, {-1, 0}})
    EXPECT_EQ(refused(fold), ErrorKind::internal);
  settings_.augment.size = 8;
  EXPECT_EQ(refused({0, 1, 2, 3, 4}), ErrorKind::usage) << "batch norm of one image's last pixel";
}

TEST(Knn, ImagesAreCountedAndItStopsWhenItIsTold) {
  const Dataset data = load_dataset({.shapes_count = 9, .shapes_size = 16});
  EigenBackend backend;
  ParameterStore encoder(backend, {.arch = "resnet18", .head = false}, false);
  encoder.initialise(1);
  const MonitorSettings settings{.k = 1, .batch = 8};
  std::vector<int64_t> done;
  const auto until = [&](int64_t end) {
    done.clear();
    return knn_accuracy(backend, encoder, data, data, settings, DType::f32, [&](int64_t images, int64_t all) {
      EXPECT_EQ(all, 18);
      done.push_back(images);
      return images < end;
    });
  };
  EXPECT_TRUE(until(19));
  EXPECT_EQ(done, (std::vector<int64_t>{5, 9, 14, 18}));
  EXPECT_FALSE(until(14)) << "among the queries";
  EXPECT_EQ(done, (std::vector<int64_t>{5, 9, 14}));
  EXPECT_FALSE(until(5)) << "in the bank";
  EXPECT_EQ(done, (std::vector<int64_t>{5}));
}

TEST(Features, TheLastForwardPassIsAsFullAsTheOthers) {
  const Dataset data = load_dataset({.shapes_count = 9, .shapes_size = 16});
  CountingBackend backend;
  ParameterStore encoder(backend, {.arch = "resnet18"}, false);
  encoder.initialise(1);
  FeatureExtractor extractor(backend, encoder, evaluation_pixels(data, 0), data.size(), 8, DType::f32);
  std::vector<size_t> passes;
  extractor.extract(data, all_images(data), evaluation_views(0), 0, [&](std::span<const float> rows) {
    passes.push_back(rows.size() / static_cast<size_t>(extractor.dim()));
    return true;
  });
  EXPECT_EQ(passes, (std::vector<size_t>{5, 4}));
  EXPECT_EQ(backend.most_images, 5);
}

/// Finetuning: the gradient of the features is that of the loss in every parameter, in a random direction of each kind.
TEST(Finetune, GradientsOfTheEncoderAreThoseOfItsFeatures) {
  EigenBackend backend;
  const ModelConfig config{.arch = "resnet18", .head = false};
  ParameterStore store(backend, config, /*with_gradients=*/true);
  store.initialise(4);
  const TrainingPlan network(backend, config, {.batch = 4, .views = 1, .height = 16, .width = 16});
  RandomStream random(8, RandomPurpose::test);
  const auto fill = [&](TensorRef t, double size) {
    for (int64_t i = 0; i < t.shape.elements(); ++i) t.as<float>()[i] = static_cast<float>(random.uniform(-size, size));
  };
  fill(network.input(), 1);
  network.forward(store, false);
  std::vector<float> weights(4 * 512);
  for (float& weight : weights) weight = static_cast<float>(random.uniform(-1, 1));
  backend.copy_in(network.feature_gradients(), weights.data());
  network.backward(store);
  const auto loss = [&] {
    network.forward(store, false);
    double sum = 0;
    for (size_t i = 0; i < weights.size(); ++i) sum += double{weights[i]} * network.features().as<float>()[i];
    return sum;
  };
  for (const ParameterEntry& entry : store.entries()) {
    if (!is_trainable(entry.kind)) continue;
    const TensorRef values = store.tensor(entry), gradient = store.gradient(entry);
    const auto size = static_cast<size_t>(entry.size);
    const std::vector<float> before(values.as<float>(), values.as<float>() + size);
    double norm = 0, slope = 0;
    for (size_t i = 0; i < size; ++i) norm += std::pow(double{gradient.as<float>()[i]}, 2);
    // Along the gradient, as far as changes the loss by about 0.01, small beside what ReLUs bend.
    const double step = 0.005 / norm;
    const auto moved = [&](double by) {
      for (size_t i = 0; i < size; ++i)
        values.as<float>()[i] = before[i] + static_cast<float>(by * gradient.as<float>()[i]);
      return loss();
    };
    slope = (moved(step) - moved(-step)) / (2 * step);
    std::copy(before.begin(), before.end(), values.as<float>());
    EXPECT_NEAR(slope / norm, 1, 0.05) << entry.name;
  }
}

TEST(Finetune, AloneChangesTheEncodersWeights) {
  const Dataset train = load_dataset({.shapes_count = 16, .shapes_size = 16});
  for (const LinearProtocol protocol : {LinearProtocol::frozen, LinearProtocol::batch, LinearProtocol::finetune}) {
    EigenBackend backend;
    ParameterStore encoder(backend, {.arch = "resnet18", .head = false}, true);
    encoder.initialise(1);
    const auto all = [&] {
      const TensorRef values = encoder.values();
      return std::vector<float>(values.as<float>(), values.as<float>() + values.shape.elements());
    };
    const std::vector<float> before = all();
    LinearSettings settings;
    settings.protocol = protocol, settings.epochs = 1, settings.augment.size = 16;
    linear_evaluation(backend, encoder, train, train, settings, [](const LinearEpoch&) {});
    const std::vector<float> after = all();
    size_t moved = 0;
    for (size_t i = 0; i < after.size(); ++i) moved += after[i] != before[i];
    if (protocol == LinearProtocol::finetune)
      EXPECT_GT(moved, after.size() * 9 / 10);
    else
      EXPECT_EQ(moved, 0u);
  }
}

}  // namespace
}  // namespace dcl
