// The training step on every backend: recorded and replayed it does what it does op by op, bit for bit, while learning
// rate and batches change; a loss that is not finite changes nothing although nobody has looked; views and losses are
// those of the eigen backend.
#include "train/pretrain_step.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "support/backends.h"

namespace dcl::test {
namespace {

constexpr int64_t kBatch = 4, kImages = 12, kSteps = 3;

PretrainSettings tiny() {
  PretrainSettings settings;
  settings.model.arch = "resnet18";
  settings.augment.size = 8;
  settings.batch = kBatch;
  settings.seed = 3;
  return settings;
}

struct Outcome {
  std::vector<double> losses;
  std::vector<float> weights;
};

class PretrainStepTest : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());
  Dataset data_ = load_dataset({.name = "shapes", .split = "train", .shapes_count = kImages, .shapes_size = 16});

  static std::vector<float> weights(Backend& backend, const PretrainStep& step) {
    const ConstTensorRef values = step.parameters().values();
    std::vector<float> host(static_cast<size_t>(values.shape.elements()));
    backend.copy_out(host.data(), values);
    return host;
  }
  /// Some steps, of which `ahead` may be under way before the next is enqueued; `last_beta` is beta in the last two of
  /// them.
  Outcome train(Backend& backend, const PretrainSettings& settings, bool use_graph, int64_t ahead,
                int64_t steps = kSteps, std::optional<double> last_beta = {}) const {
    LoaderOptions options;
    options.augment = augment_desc(settings.augment);
    options.batch = kBatch;
    options.views = settings.views();
    options.dtype = settings.dtype;
    options.threads = 1;
    Loader loader(data_, backend, training_views(settings.augment, settings.seed), options);
    PretrainStep step(backend, settings, use_graph);
    Outcome out;
    loader.start();
    const auto report_until = [&](int64_t left) {
      while (step.pending() > left) out.losses.push_back(step.report().loss);
    };
    for (int64_t i = 0; i < steps; ++i) {
      if (last_beta && i + 2 == steps) {
        report_until(0);
        step.set_beta(*last_beta);
      }
      step.run(*loader.next(), i, 1e-2 / static_cast<double>(i + 1));
      report_until(ahead);
    }
    report_until(0);
    out.weights = weights(backend, step);
    return out;
  }
};

TEST_P(PretrainStepTest, ReplayedStepsAreTheStepsOpByOp) {
  for (const int64_t micro_batch : {kBatch, kBatch / 2}) {
    PretrainSettings settings = tiny();
    settings.micro_batch = micro_batch;
    const Outcome eager = train(*backend_, settings, false, 0), replayed = train(*backend_, settings, true, 3);
    EXPECT_EQ(eager.losses, replayed.losses);
    EXPECT_TRUE(eager.weights == replayed.weights);
    EXPECT_NE(eager.losses[1], eager.losses[2]);
  }
}

/// For beta 0 a device has a kernel of its own, which no step has launched before: the recorded steps come first.
TEST_P(PretrainStepTest, AReplayedStepHasTheBetaOfNow) {
  PretrainSettings settings = tiny();
  settings.objective.kind = ObjectiveKind::hard;
  const Outcome replayed = train(*backend_, settings, true, 3, kSteps + 1, 0.0),
                eager = train(*backend_, settings, false, 0, kSteps + 1, 0.0);
  EXPECT_EQ(eager.losses, replayed.losses);
  EXPECT_TRUE(eager.weights == replayed.weights);
  const std::vector<double> unchanged = train(*backend_, settings, true, 0).losses;
  EXPECT_NE(replayed.losses[2], unchanged[2]);
  EXPECT_TRUE(std::equal(unchanged.begin(), unchanged.end() - 1, replayed.losses.begin()));
}

TEST_P(PretrainStepTest, ALossThatIsNotFiniteChangesNothing) {
  PretrainSettings settings = tiny();
  const PretrainStep untouched(*backend_, settings);
  settings.augment.normalization.mean[1] = NAN;  // every pixel of a channel
  const Outcome out = train(*backend_, settings, true, 3);
  for (const double loss : out.losses) EXPECT_TRUE(std::isnan(loss));
  EXPECT_TRUE(out.weights == weights(*backend_, untouched));
}

// One step, by SGD: with batch norm over so few pixels, and with Adam, which divides a gradient by its own size, later
// steps turn roundings into other trajectories.
TEST_P(PretrainStepTest, AStepIsThatOfEigen) {
  const auto eigen = make_backend("eigen");
  PretrainSettings settings = tiny();
  settings.augment.size = 16;
  settings.optimizer.kind = OptimizerKind::sgd;
  const std::vector<float> before = weights(*eigen, PretrainStep(*eigen, settings));
  const Outcome here = train(*backend_, settings, true, 0, 1), there = train(*eigen, settings, true, 0, 1);
  EXPECT_NEAR(here.losses[0], there.losses[0], 1e-5);
  double difference = 0, moved = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    difference += std::pow(double{here.weights[i]} - double{there.weights[i]}, 2);
    moved += std::pow(double{there.weights[i]} - double{before[i]}, 2);
  }
  EXPECT_GT(moved, 0);
  // One ReLU that rounding turns over shows: eigen's own instruction sets are 1.2 % apart here.
  EXPECT_LE(std::sqrt(difference / moved), 5e-2);
}

TEST_P(PretrainStepTest, ReportsInOrderAndNoMoreThanThereAre) {
  PretrainStep step(*backend_, tiny());
  EXPECT_THROW(step.report(), Error);
  EXPECT_EQ(step.pending(), 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, PretrainStepTest, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
