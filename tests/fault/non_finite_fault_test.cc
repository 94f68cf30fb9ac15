// A loss that is not finite, planted in a step: what --on_nan promises (docs/usage.md), also across an interruption.
#include <gtest/gtest.h>

#include <filesystem>

#include "io/safetensors.h"
#include "support/tiny_run.h"

namespace dcl::test {
namespace {

class NonFinite : public testing::Test {
 protected:
  /// A tiny run of one thread with a checkpoint every two steps.
  Outcome go(const std::string& name, const std::vector<std::string>& more, const std::string& faults = "") {
    auto argv = tiny_run(dir(name), {"--checkpoint_every", "2", "--no_knn", "--threads", "1"});
    argv.insert(argv.end(), more.begin(), more.end());
    return run(argv, {{"DCL_FAULT", faults}});
  }
  std::string dir(const std::string& name) const { return folder_ / name; }
  std::string end_of(const std::string& name, bool state = false) const {
    return file_of(dir(name), kTinySteps, state);
  }

  void expect_same_files(const std::string& a, const std::string& b) {
    for (const bool state : {false, true})
      EXPECT_TRUE(read_text(end_of(a, state)) == read_text(end_of(b, state))) << a << ", " << b;
  }
  void expect_same_tensors(const std::string& a, const std::string& b) {
    const SafetensorsFile one(end_of(a)), two(end_of(b));
    ASSERT_EQ(one.tensors().size(), two.tensors().size());
    for (const FileTensor& tensor : one.tensors()) {
      if (tensor.dtype == FileDType::i64) {
        EXPECT_EQ(one.read_i64(tensor.name), two.read_i64(tensor.name)) << tensor.name;
      } else {
        EXPECT_TRUE(one.read_f32(tensor.name) == two.read_f32(tensor.name)) << tensor.name;
      }
    }
  }

  TemporaryFolder folder_{2'000'000'000};
};

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const auto& word : words)
    EXPECT_NE(text.find(word), std::string::npos) << "'" << word << "' is not in: " << text;
}

TEST_F(NonFinite, StopsBeforeTheUpdateAndCanBeResumed) {
  ASSERT_EQ(go("whole", {}).exit_code, 0);
  const Outcome stopped = go("stopped", {}, "embeddings:4:NAN");
  EXPECT_EQ(stopped.exit_code, 6);
  expect_words(stopped.err, {"the loss is nan at step 4", "epoch 2, step 1 of 3", "images ", "embeddings", "--on_nan"});
  EXPECT_TRUE(std::filesystem::exists(file_of(dir("stopped"), 2)));
  EXPECT_FALSE(std::filesystem::exists(file_of(dir("stopped"), 4)));
  ASSERT_EQ(go("stopped", {}).exit_code, 0);
  expect_same_files("whole", "stopped");
}

TEST_F(NonFinite, EpochWithoutAnyUpdateHasNoMeanLoss) {
  const Outcome outcome = go("none", {"--on_nan", "skip:9"}, "embeddings:4+:NAN");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  expect_words(outcome.err, {"epoch 1: mean loss ", "epoch 2: every step was left out"});
  EXPECT_EQ(outcome.err.find("mean loss nan"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("mean loss -nan"), std::string::npos) << outcome.err;
}

TEST_F(NonFinite, SkipLeavesTheBatchOut) {
  const Outcome whole = go("whole", {"--on_nan", "skip:1"}, "embeddings:3:NAN,embeddings:5:NAN");
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  expect_words(whole.err, {"step 3", "step 5", "its update was left out"});
  expect_words(read_text(dir("whole") + "/metrics.csv"), {"left_out,3", "left_out,5", "train,4"});
  EXPECT_EQ(SafetensorsFile(end_of("whole")).metadata("dcl.left_out.steps"), "2");
  // Interrupted between and after: the third step of the second process is the fifth.
  ASSERT_EQ(go("parts", {"--on_nan", "skip:1", "--max_steps", "3"}, "embeddings:3:NAN").exit_code, 0);
  ASSERT_EQ(go("parts", {"--on_nan", "skip:1"}, "embeddings:2:NAN").exit_code, 0);
  expect_same_files("whole", "parts");
}

TEST_F(NonFinite, SkipEndsWhenTooManyFollowEachOther) {
  EXPECT_EQ(go("two", {"--on_nan", "skip:1"}, "embeddings:3:NAN,embeddings:4:NAN").exit_code, 6);
  // The count goes on after an interruption.
  ASSERT_EQ(go("parts", {"--on_nan", "skip:1", "--max_steps", "3"}, "embeddings:3:NAN").exit_code, 0);
  const Outcome second = go("parts", {"--on_nan", "skip:1"}, "embeddings:1:NAN");
  EXPECT_EQ(second.exit_code, 6);
  expect_words(second.err, {"as many in a row as --on_nan allows"});
}

TEST_F(NonFinite, RollbackGoesOnWithTheWeightsOfTheCheckpoint) {
  const Outcome rolled = go("rolled", {"--on_nan", "rollback"}, "embeddings:4:NAN");
  ASSERT_EQ(rolled.exit_code, 0) << rolled.err;
  expect_words(rolled.err, {"rolled back to the weights of step 2"});
  // Leaving out every step since the checkpoint is the same by another way.
  ASSERT_EQ(go("skipped", {"--on_nan", "skip:2"}, "embeddings:3:NAN,embeddings:4:NAN").exit_code, 0);
  expect_same_tensors("rolled", "skipped");
  const SafetensorsFile end(end_of("rolled"));
  EXPECT_EQ(end.metadata("dcl.left_out.steps"), "2");
  EXPECT_EQ(end.metadata("dcl.left_out.rollbacks"), "1");
  // Killed after the rollback, before the next checkpoint is there: the resumed run rolls back again.
  EXPECT_EQ(go("killed", {"--on_nan", "rollback"}, "embeddings:4:NAN,checkpoint/fsync:6:KILL").exit_code, 128 + 9);
  ASSERT_FALSE(std::filesystem::exists(file_of(dir("killed"), 4)));
  ASSERT_EQ(go("killed", {"--on_nan", "rollback"}, "embeddings:2:NAN").exit_code, 0);
  expect_same_files("rolled", "killed");
}

TEST_F(NonFinite, RollbackNeedsACheckpointAndHasALimit) {
  const Outcome none = go("none", {"--on_nan", "rollback"}, "embeddings:1:NAN");
  EXPECT_EQ(none.exit_code, 6);
  expect_words(none.err, {"no checkpoint to roll back to"});
  const Outcome often = go("often", {"--on_nan", "rollback:1"}, "embeddings:3:NAN,embeddings:5:NAN");
  EXPECT_EQ(often.exit_code, 6);
  expect_words(often.err, {"as often as --on_nan allows"});
}

TEST_F(NonFinite, WeightsThatDivergeAreNotSaved) {
  const Outcome diverged = go("diverged", {"--lr", "1e38", "--checkpoint_every", "1"});
  EXPECT_EQ(diverged.exit_code, 6) << diverged.err;
  EXPECT_FALSE(std::filesystem::exists(model_of(dir("diverged"))));
}

}  // namespace
}  // namespace dcl::test
