// A run whose kNN monitor fails, and what makes runs the same.
#include "train/pretrain.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "core/registry.h"
#include "support/process.h"

namespace dcl::test {
namespace {

class Watched : public PretrainObserver {
 public:
  void on_monitor(const MonitorRecord& record) override { monitored.push_back(record); }
  void on_checkpoint(const std::filesystem::path& model) override { checkpoints.push_back(model); }
  std::vector<MonitorRecord> monitored;
  std::vector<std::filesystem::path> checkpoints;
};

/// A run of one step whose monitor normalises pixels by `std`.
Watched run_with(float std, const std::filesystem::path& folder) {
  const auto backend = make_backend("eigen");
  const Dataset train = load_dataset({.name = "shapes", .split = "train", .shapes_count = 8, .shapes_size = 16});
  const Dataset test = load_dataset({.name = "shapes", .split = "test", .shapes_count = 8, .shapes_size = 16});
  PretrainSettings settings;
  settings.model.arch = "resnet18";
  settings.augment.size = 8;
  settings.batch = 4;
  PretrainPlan plan;
  plan.max_steps = 1;
  plan.monitor = MonitorSettings{.k = 3, .batch = 4};
  for (float& deviation : plan.monitor->pixels.normalization.std) deviation = std;
  Watched seen;
  Pretrainer(*backend, train, &train, &test, settings, plan, folder).run(seen);
  return seen;
}

TEST(Pretrainer, WithoutAnAccuracyTheRunGoesOn) {
  const TemporaryFolder folder;
  const Watched sound = run_with(1, folder / "sound"), unsound = run_with(1e-42f, folder / "unsound");
  ASSERT_EQ(sound.monitored.size(), 1u);
  EXPECT_TRUE(unsound.monitored.empty()) << "top-1 " << unsound.monitored[0].top1;
  ASSERT_EQ(unsound.checkpoints.size(), 1u);
  EXPECT_TRUE(open_checkpoint(sound.checkpoints.at(0)).facts.knn_top1);
  EXPECT_FALSE(open_checkpoint(unsound.checkpoints.at(0)).facts.knn_top1);
}

/// A run in tf32 is another than one in f32, though activations are f32 in both.
TEST(PretrainSettings, TrajectoryNamesTheArithmetic) {
  const Dataset data = load_dataset({.name = "shapes", .split = "train", .shapes_count = 8, .shapes_size = 16});
  const auto dtype = [&](const Precision& precision) {
    PretrainSettings settings;
    settings.dtype = precision.activations;
    return trajectory_of(settings, data, precision.f32_math).at("dtype");
  };
  for (const char* name : {"f32", "tf32", "bf16"}) EXPECT_EQ(dtype(precision_of(name)), name);
}

}  // namespace
}  // namespace dcl::test
