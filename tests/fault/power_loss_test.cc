// Power loss at any point of saving and pruning checkpoints: what was saved stays, what was being saved is there or
// not.
#include "support/power_loss.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.h"
#include "io/atomic_file.h"
#include "support/process.h"
#include "train/checkpoint.h"

namespace dcl::test {
namespace {

/// A pair of `step`, small but with every part of a real one.
void save(const CheckpointFolder& folder, int64_t step) {
  const std::vector<float> model(40, static_cast<float>(step)), state(90, static_cast<float>(step));
  std::vector<TensorSource> model_sources, state_sources;
  model_sources.push_back(tensor_source<float>("f.0.weight", {40}, model));
  state_sources.push_back(tensor_source<float>("optim.exp_avg.f.0.weight", {90}, state));
  folder.save({.position = {.step = step}, .knn_top1 = static_cast<double>(step), .settings = {{"seed", "7"}}},
              std::move(model_sources), std::move(state_sources));
}

class PowerLoss : public testing::Test {
 protected:
  TemporaryFolder folder_;
  std::string live() const { return folder_ / "live"; }
  std::string found() const { return folder_ / "found"; }
};

TEST_F(PowerLoss, CheckpointsAreTheOldOrTheNewOnes) {
  std::filesystem::create_directory(live());
  const CheckpointFolder checkpoints(live() + "/run/checkpoints");
  Recorder recorder(live());
  for (int step = 10; step <= 40; step += 10) {
    save(checkpoints, step);
    recorder.mark(step);  // from here on this one is promised
    if (step == 20) checkpoints.mark_best(step);
    checkpoints.prune(1, 0);
  }
  const auto states = recorder.states();
  ASSERT_EQ(states.size(), 5u);
  size_t images = 0, without_any = 0;
  for (const auto& [promised, possible] : states)
    for (const auto& image : possible) {
      ++images;
      materialise(image, found());
      const CheckpointFolder after(found() + "/run/checkpoints");
      std::vector<PassedOver> passed_over;
      const auto newest = after.newest_valid(passed_over);
      const int64_t step = newest ? newest->facts.position.step : 0;
      ASSERT_TRUE(step == promised || step == promised + 10) << step << " instead of " << promised;
      without_any += step == 0;
      if (promised > 0) {
        EXPECT_NO_THROW(open_checkpoint(found() + "/run/checkpoints/latest")) << "`latest` after step " << promised;
      }
      if (promised > 20) {
        EXPECT_EQ(after.best_knn(), 20.0);
      }
      // And the run can go on from there.
      if (images % 8 == 0) {
        save(after, promised + 20);
        passed_over.clear();
        EXPECT_EQ(after.newest_valid(passed_over)->facts.position.step, promised + 20);
      }
    }
  EXPECT_GT(images, 60u);
  EXPECT_GT(without_any, 0u) << "before the first was complete there was none";
}

/// That the simulation notices what it is for: the usual mistakes of writing a file.
TEST_F(PowerLoss, SimulationSeesMistakes) {
  std::filesystem::create_directory(live());
  write_file_atomically(live() + "/elsewhere", "x");
  Recorder recorder(live());
  write_file_atomically(live() + "/file", "old");
  recorder.mark(1);
  const std::string temporary = live() + "/temporary";
  const int fd = ::open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0666);
  ASSERT_EQ(::write(fd, "new!", 4), 4);  // without fsync
  ::close(fd);
  ASSERT_EQ(::rename(temporary.c_str(), (live() + "/file").c_str()), 0);
  const auto states = recorder.states();
  std::set<std::string> contents;
  for (const auto& image : states.at(1)) contents.insert(image.contains("file") ? image.at("file") : "absent");
  EXPECT_EQ(contents, (std::set<std::string>{"Fold", "Fnew!", "F", "Fne", std::string("F\0\0\0\0", 5)}));
}

}  // namespace
}  // namespace dcl::test
