#include "train/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#include "core/error.h"
#include "io/fault.h"
#include "support/process.h"

namespace dcl {
namespace {

namespace fs = std::filesystem;

class CheckpointTest : public testing::Test {
 protected:
  void TearDown() override { set_fault_plan(""); }

  static CheckpointFacts facts(int64_t step, std::optional<double> knn) {
    return {{.step = step, .epoch = step / 10, .step_in_epoch = step % 10}, knn, {{"seed", "7"}, {"tau_plus", "0.1"}}};
  }
  /// A pair whose tensors hold the step.
  void save(int64_t step, std::optional<double> knn = std::nullopt) {
    model_ = {static_cast<float>(step), 2.0f};
    state_ = {static_cast<float>(step), 3.0f, 4.0f};
    std::vector<TensorSource> model, state;
    model.push_back(tensor_source<float>("f.0.weight", {2}, model_));
    state.push_back(tensor_source<float>("optim.exp_avg", {3}, state_));
    folder().save(facts(step, knn), std::move(model), std::move(state));
  }
  CheckpointFolder folder() const { return CheckpointFolder(temporary_ / "checkpoints"); }
  std::optional<Checkpoint> newest() {
    passed_over_.clear();
    return folder().newest_valid(passed_over_);
  }
  static void flip_last_byte(const fs::path& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(-1, std::ios::end);
    const char last = static_cast<char>(file.get() ^ 1);
    file.seekp(-1, std::ios::end);
    file.put(last);
  }

  int temporaries() const {
    int count = 0;
    for (const auto& entry : fs::directory_iterator(folder().path()))
      count += entry.path().filename().native().starts_with(".");
    return count;
  }
  /// In a process of its own, which the plan may kill: saves step 20, calls it the best, and prunes what is older.
  bool killed_while_saving(const std::string& plan) {
    const pid_t child = ::fork();
    if (child == 0) {
      set_fault_plan(plan);
      save(20, 50.0);
      folder().mark_best(20);
      folder().prune(1, 0);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

  test::TemporaryFolder temporary_;
  std::vector<float> model_, state_;
  std::vector<PassedOver> passed_over_;
};

TEST_F(CheckpointTest, NothingThereIsNotAnError) { EXPECT_FALSE(newest()); }

TEST_F(CheckpointTest, ComesBackWithPositionTensorsAndSettings) {
  save(1234, 56.78);
  const auto opened = newest();
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->facts, facts(1234, 56.78));
  EXPECT_EQ(opened->model->read_f32("f.0.weight"), (std::vector<float>{1234, 2}));
  EXPECT_EQ(opened->state->read_f32("optim.exp_avg"), (std::vector<float>{1234, 3, 4}));
  EXPECT_EQ(folder().best_knn(), std::nullopt);
  folder().mark_best(1234);
  EXPECT_EQ(folder().best_knn(), 56.78);
  EXPECT_EQ(fs::read_symlink(temporary_ / "checkpoints/latest"), "step-00001234.safetensors");
}

TEST_F(CheckpointTest, OpensThroughLinkFileAndRunDirectory) {
  save(5);
  const std::vector<std::string> paths = {temporary_.path(), temporary_ / "checkpoints",
                                          temporary_ / "checkpoints/latest",
                                          temporary_ / "checkpoints/step-00000005.safetensors"};
  for (const std::string& path : paths) EXPECT_EQ(open_checkpoint(path).facts.position.step, 5) << path;
}

TEST_F(CheckpointTest, RunDirectoryIsItsNewestValidCheckpoint) {
  save(10);
  save(20);
  fs::remove(folder().path() / "latest");
  EXPECT_EQ(open_checkpoint(temporary_.path()).facts.position.step, 20) << "links do not survive every copy";
  flip_last_byte(folder().model_path(20));
  EXPECT_EQ(open_checkpoint(temporary_.path()).facts.position.step, 10);
  flip_last_byte(folder().state_path(10));
  try {
    open_checkpoint(temporary_.path());
    FAIL() << "nothing is valid";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
  }
}

TEST_F(CheckpointTest, FilesMayBeLinksToAnotherDisk) {
  save(10);
  save(20);
  const fs::path disk = temporary_ / "disk";
  fs::create_directory(disk);
  for (const fs::path& file : {folder().model_path(20), folder().state_path(20)}) {
    fs::rename(file, disk / file.filename());
    fs::create_symlink(disk / file.filename(), file);
  }
  std::vector<PassedOver> passed_over;
  const std::optional<Checkpoint> newest = folder().newest_valid(passed_over);
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->facts.position.step, 20);
  fs::remove_all(disk);
  EXPECT_EQ(folder().newest_valid(passed_over)->facts.position.step, 10);
  EXPECT_EQ(passed_over.size(), 1u) << "which is told";
}

TEST_F(CheckpointTest, AFolderThatCannotBeListedIsNotAnEmptyOne) {
  EXPECT_EQ(CheckpointFolder(temporary_ / "nothing").steps(), std::vector<int64_t>{}) << "before the first checkpoint";
  const fs::path file = temporary_ / "file";
  std::ofstream(file) << "in the folder's place";
  for (const char* resume : {"auto", "never", "must"}) try {
      choose_checkpoint(resume, CheckpointFolder(file));
      ADD_FAILURE() << resume << ": the run would start afresh";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io) << error.what();
    }
}

TEST_F(CheckpointTest, FileSystemWithoutLinksHasCopies) {
  save(5);  // with a link, as from another system
  set_fault_plan("symlink:1+:EPERM");
  save(10, 50.0);
  folder().mark_best(10);
  for (const int64_t step : {20, 30}) save(step);
  folder().prune(1, 0);
  EXPECT_EQ(folder().steps(), (std::vector<int64_t>{30}));
  EXPECT_EQ(folder().best_knn(), 50.0) << "the best model is kept";
  const SafetensorsFile latest(folder().path() / "latest");
  EXPECT_EQ(latest.read_f32("f.0.weight"), (std::vector<float>{30, 2}));
  ASSERT_TRUE(newest());
  EXPECT_EQ(newest()->facts.position.step, 30);
  EXPECT_EQ(open_checkpoint(folder().path() / "latest").facts.position.step, 30) << "with the state of its step";
  EXPECT_EQ(temporaries(), 0);
}

TEST_F(CheckpointTest, DamagedModelOrStateFallsBackToTheOlderAndStaysInPlace) {
  for (const bool damage_state : {false, true}) {
    save(10);
    save(20);
    const fs::path damaged = damage_state ? folder().state_path(20) : folder().model_path(20);
    flip_last_byte(damaged);
    const auto opened = newest();
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->facts.position.step, 10);
    ASSERT_EQ(passed_over_.size(), 1u);
    EXPECT_EQ(passed_over_[0].path, folder().model_path(20));
    EXPECT_TRUE(fs::exists(damaged));
  }
}

TEST_F(CheckpointTest, TruncationAtEveryLengthIsNoticed) {
  save(1);
  const fs::path path = folder().model_path(1);
  const auto size = fs::file_size(path);
  for (uintmax_t length = 0; length < size; length += 7) {
    save(1);
    fs::resize_file(path, length);
    EXPECT_FALSE(newest()) << length;
  }
}

TEST_F(CheckpointTest, ModelWithoutItsOwnStateIsPassedOver) {
  save(10);
  save(20);
  fs::remove(folder().state_path(20));
  EXPECT_EQ(newest()->facts.position.step, 10);
  fs::copy_file(folder().state_path(10), folder().state_path(20));
  EXPECT_EQ(newest()->facts.position.step, 10) << "another step's state does not belong to it";
}

TEST_F(CheckpointTest, ModelAloneCannotBeContinued) {
  save(10);
  const fs::path alone = temporary_ / "alone.safetensors";
  fs::copy_file(folder().model_path(10), alone);
  try {
    open_checkpoint(alone);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_NE(std::string(error.what()).find("without its state file 'alone.state.safetensors'"), std::string::npos)
        << error.what();
  }
}

TEST_F(CheckpointTest, RenamedCheckpointIsNotTakenForAnotherStep) {
  save(10);
  fs::rename(folder().model_path(10), folder().model_path(99));
  fs::rename(folder().state_path(10), folder().state_path(99));
  EXPECT_FALSE(newest());
}

TEST_F(CheckpointTest, AnyFailingOperationLeavesTheOlderValid) {
  for (int n = 1;; ++n) {
    save(10);
    set_fault_plan("any:" + std::to_string(n) + ":ENOSPC");
    bool failed = false;
    try {
      save(20);
    } catch (const Error& error) {
      failed = true;
      EXPECT_EQ(error.kind(), ErrorKind::io) << n << ": " << error.what();
    }
    set_fault_plan("");
    const auto opened = newest();
    ASSERT_TRUE(opened) << n;
    EXPECT_TRUE(opened->facts.position.step == 10 || opened->facts.position.step == 20) << n;
    EXPECT_NO_THROW(open_checkpoint(folder().path() / "latest")) << n << ": `latest` points to a valid pair";
    if (!failed) break;
    ASSERT_LT(n, 200) << "the fault was never passed";
    fs::remove_all(temporary_ / "checkpoints");
  }
}

/// A run that was interrupted before its kNN evaluation saves that step again once the accuracy is known.
TEST_F(CheckpointTest, SavingAStepAgainWithItsAccuracyNeverCostsTheStep) {
  for (int n = 1;; ++n) {
    save(10);
    set_fault_plan("any:" + std::to_string(n) + ":ENOSPC");
    bool failed = false;
    try {
      save(10, 50.0);
    } catch (const Error&) {
      failed = true;
    }
    set_fault_plan("");
    const auto opened = newest();
    ASSERT_TRUE(opened) << n << ": " << passed_over_[0].reason;
    EXPECT_EQ(opened->facts.position.step, 10) << n;
    if (!failed) {
      EXPECT_EQ(opened->facts.knn_top1, 50.0);
      break;
    }
    ASSERT_LT(n, 200) << "the fault was never passed";
    fs::remove_all(temporary_ / "checkpoints");
  }
}

TEST_F(CheckpointTest, KilledBeforeAnyOperationLeavesTheOldOrTheNewOneAndNothingAfterTheNextSuccess) {
  std::vector<int64_t> newest_after;
  int left_over = 0;
  for (int n = 1;; ++n) {
    save(5);
    save(10);
    folder().mark_best(10);
    const bool killed = killed_while_saving("checkpoint/any:" + std::to_string(n) + ":KILL");
    const auto opened = newest();
    ASSERT_TRUE(opened) << n;
    newest_after.push_back(opened->facts.position.step);
    EXPECT_NO_THROW(open_checkpoint(folder().path() / "latest")) << n << ": `latest` points to a valid pair";
    EXPECT_NO_THROW(open_checkpoint(folder().path() / "best")) << n;
    left_over += temporaries();
    save(30);
    EXPECT_EQ(temporaries(), 0) << n;
    fs::remove_all(folder().path());
    if (!killed) break;
    ASSERT_LT(n, 200) << "the fault was never passed";
  }
  EXPECT_GT(newest_after.size(), 20u);
  EXPECT_EQ(newest_after.front(), 10);
  EXPECT_EQ(newest_after.back(), 20);
  EXPECT_TRUE(std::is_sorted(newest_after.begin(), newest_after.end())) << "once the new one is there it stays";
  EXPECT_GT(left_over, 5) << "temporaries of the killed, which the next success removed";
}

TEST_F(CheckpointTest, PruningKeepsLastEveryLatestAndBest) {
  for (int64_t step = 10; step <= 100; step += 10) save(step);
  folder().mark_best(30);
  folder().prune(2, 50);
  EXPECT_EQ(folder().steps(), (std::vector<int64_t>{30, 50, 90, 100}));
  EXPECT_TRUE(fs::exists(folder().state_path(30)));
  EXPECT_FALSE(fs::exists(folder().state_path(40)));
}

/// A run that was continued before its damaged checkpoints keeps as many sound ones as it should.
TEST_F(CheckpointTest, DamagedOnesAheadDoNotPushSoundOnesOut) {
  for (const int64_t step : {10, 20, 30, 40}) save(step);
  for (const int64_t step : {30, 40}) test::write_text(folder().model_path(step), "damaged");
  ASSERT_EQ(newest()->facts.position.step, 20);
  save(25);
  folder().prune(2, 0);
  EXPECT_EQ(folder().steps(), (std::vector<int64_t>{20, 25, 30, 40}));
  EXPECT_TRUE(fs::exists(folder().state_path(20)));
  EXPECT_FALSE(fs::exists(folder().state_path(10)));
}

TEST_F(CheckpointTest, OtherFilesAreNotTakenForCheckpoints) {
  save(10);
  for (const char* name :
       {"step-1.safetensors", "step-0000000x.safetensors", "notes.txt", "step-00000011.state.safetensors"})
    test::write_text(temporary_ / ("checkpoints/" + std::string(name)), "mine");
  EXPECT_EQ(folder().steps(), (std::vector<int64_t>{10}));
  folder().prune(1, 0);
  EXPECT_TRUE(fs::exists(temporary_ / "checkpoints/notes.txt"));
}

}  // namespace
}  // namespace dcl
