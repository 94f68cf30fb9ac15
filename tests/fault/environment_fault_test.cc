// What the world around a run does to it: signals at odd moments, closed streams, limits, a directory that goes away,
// other languages, odd names, few cores.
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <thread>

#include "core/host_memory.h"
#include "support/tiny_run.h"

namespace dcl::test {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kRunBytes = 800'000'000;

/// Without kNN, with a checkpoint after every step.
std::vector<std::string> plain(const std::string& dir, const std::vector<std::string>& more = {}) {
  auto argv = tiny_run(dir, {"--no_knn", "--checkpoint_every", "1", "--threads", "1"});
  argv.insert(argv.end(), more.begin(), more.end());
  return argv;
}

const std::string& final_model() {
  static const std::string model = [] {
    const TemporaryFolder folder(kRunBytes);
    const Outcome outcome = run(plain(folder / "run"));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return read_text(file_of(folder / "run", kTinySteps));
  }();
  return model;
}

bool wait_until(const std::function<bool()>& holds) {
  for (int i = 0; i < 3000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

/// The command as one word of a shell's language each.
std::string shell_text(const std::vector<std::string>& argv) {
  std::string text;
  for (const std::string& word : argv) text += " '" + word + "'";
  return text;
}
Outcome shell(const std::string& command) { return run({"/bin/sh", "-c", command}); }

TEST(Signals, TerminatedDuringEvaluation) {
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  // An evaluation of thousands of images, after an epoch of three steps.
  const auto argv = tiny_run(
      dir, {"--threads", "1", "--shapes_test_count", "5000", "--test_every", "1", "--checkpoint_every", "100"});
  Background running(argv);
  ASSERT_TRUE(wait_until(
      [&] { return running.errors_so_far().find("epoch 1: mean loss") != std::string::npos || !running.running(); }));
  running.send(SIGTERM);
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_EQ(outcome.err.find("kNN after"), std::string::npos) << "the evaluation was given up: " << outcome.err;
  EXPECT_TRUE(fs::exists(file_of(dir, kTinyStepsPerEpoch)));
}

TEST(Signals, TerminatedDuringTheLastEvaluation) {
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  const auto argv = tiny_run(dir, {"--threads", "1", "--shapes_test_count", "5000", "--epochs", "1"});
  const auto accuracies = [&] { return read_text(dir + "/metrics.csv").find("\nknn,3,") != std::string::npos; };
  Background running(argv);
  ASSERT_TRUE(wait_until(
      [&] { return running.errors_so_far().find("epoch 1: mean loss") != std::string::npos || !running.running(); }));
  running.send(SIGTERM);
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.exit_code, 75) << "all steps are done, but not the run: " << outcome.err;
  EXPECT_FALSE(accuracies());
  EXPECT_EQ(run(argv).exit_code, 0);
  EXPECT_TRUE(accuracies()) << "the same command makes up for it";
}

TEST(Signals, TerminatedWhileDataIsLoaded) {
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  Background running(plain(dir, {"--shapes_count", "20000"}));
  ASSERT_TRUE(wait_until([&] { return fs::exists(dir + "/checkpoints"); }));
  running.send(SIGTERM);
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_TRUE(fs::exists(model_of(dir))) << "the step that was begun is saved";
}

TEST(Signals, SecondInterruptEndsAtOnce) {
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  // The second comes while the first is being obeyed: during the loading of data, which takes a while.
  Background running(plain(dir, {"--shapes_count", "200000"}));
  ASSERT_TRUE(wait_until([&] { return fs::exists(dir + "/checkpoints"); }));
  running.send(SIGINT);
  ASSERT_TRUE(wait_until([&] { return running.errors_so_far().find("press again") != std::string::npos; }));
  running.send(SIGINT);
  EXPECT_EQ(running.wait().exit_code, 130);
  EXPECT_FALSE(fs::exists(model_of(dir)));
  const Outcome again = run(plain(dir));
  EXPECT_EQ(again.exit_code, 0) << again.err;
}

TEST(Streams, ThatAreClosedOrFullDoNotStopARun) {
  const TemporaryFolder folder(kRunBytes);
  const std::vector<std::string> redirections = {">&- 2>&-", "> /dev/full 2> /dev/full", "2>&1 | true"};
  for (const std::string& redirection : redirections) {
    const std::string dir = folder / "run";
    shell(shell_text(plain(dir, {"--max_steps", "2"})) + " " + redirection);
    EXPECT_TRUE(fs::exists(file_of(dir, 2))) << redirection;
    fs::remove_all(dir);
  }
  const std::vector<std::string> knn = {
      app("dcl-knn"), "--untrained",   "--arch", "resnet18", "--dataset", "shapes", "--shapes_count",
      "20",           "--shapes_size", "16",     "--k",      "1",         "--json"};
  const Outcome lost = shell(shell_text(knn) + " > /dev/full");
  EXPECT_EQ(lost.exit_code, 5) << "its data did not arrive";
  EXPECT_NE(lost.err.find("standard output"), std::string::npos) << lost.err;
}

TEST(Limits, FilesTooLargeFailTheCheckpointAndLeaveTheEarlierOne) {
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  ASSERT_EQ(run(plain(dir, {"--max_steps", "1"})).exit_code, 0);
  const std::string before = read_text(file_of(dir, 1));
  // 20 MB: less than a model.
  const Outcome outcome = shell("ulimit -f 40000;" + shell_text(plain(dir, {"--max_failed_checkpoints", "1"})));
  EXPECT_EQ(outcome.exit_code, 5) << outcome.err;
  EXPECT_NE(outcome.err.find("File too large"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("checkpoint not saved, going on"), std::string::npos) << outcome.err;
  EXPECT_TRUE(read_text(file_of(dir, 1)) == before);
  for (const auto& entry : fs::directory_iterator(dir + "/checkpoints"))
    EXPECT_EQ(entry.path().filename().string().find(".tmp."), std::string::npos) << entry.path();
  const Outcome again = run(plain(dir));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(read_text(file_of(dir, kTinySteps)) == final_model());
}

TEST(Limits, FewDescriptors) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "sanitizers ask through a pipe whether memory can be read, and take a refused one for a no";
#endif
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  for (int descriptors = 3; descriptors <= 24; descriptors += 3) {
    const Outcome outcome =
        shell("ulimit -n " + std::to_string(descriptors) + ";" + shell_text(plain(dir, {"--max_steps", "1"})));
    if (outcome.exit_code == 0) {
      EXPECT_GT(descriptors, 3);
      return;
    }
    // Below what a loader of libraries needs, the shell reports 127.
    EXPECT_TRUE(outcome.exit_code == 5 || outcome.exit_code == 4 || outcome.exit_code == 127)
        << descriptors << ": " << outcome.err;
    fs::remove_all(dir);
  }
  ADD_FAILURE() << "24 descriptors are not enough";
}

TEST(Limits, FewThreads) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "sanitizers need more address space than is";
#endif
  const TemporaryFolder folder;
  // The stacks of a thousand threads, 8 MiB each, are more than the address space that is left to the process.
  const std::string limited = "ulimit -s 8192; ulimit -v 4000000;";
  const Outcome outcome = shell(limited + shell_text(plain(folder / "run", {"--threads", "1000"})));
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
  EXPECT_NE(outcome.err.find("error: cannot start 1000 compute threads: "), std::string::npos) << outcome.err;
}

TEST(Limits, ABatchBeyondMemoryIsRefusedBeforeItIsTouched) {
  if (available_host_memory() > size_t{400} << 30) GTEST_SKIP() << "this machine has memory enough";
  const TemporaryFolder folder;
  const Outcome outcome =
      run(plain(folder / "run", {"--arch", "resnet50", "--image_size", "1024", "--batch_size", "30"}));
  EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
  EXPECT_NE(outcome.err.find("MiB are free: use a smaller batch; --micro_batch_size"), std::string::npos)
      << outcome.err;
}

TEST(RunDirectory, ThatIsNotWritableIsRefusedAtTheStart) {
  const TemporaryFolder folder;
  const std::string dir = folder / "run";
  fs::create_directory(dir);
  fs::permissions(folder.path(), fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
  fs::permissions(dir, fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec);
  // Root may write everywhere, so that it has to become somebody else.
  const std::string somebody = ::geteuid() == 0 ? "exec setpriv --reuid=65534 --regid=65534 --clear-groups" : "exec";
  const Outcome outcome = shell(somebody + shell_text(plain(dir)));
  fs::permissions(dir, fs::perms::owner_all);
  if (outcome.exit_code == 126 || outcome.exit_code == 127) GTEST_SKIP() << "cannot become another user";
  EXPECT_EQ(outcome.exit_code, 5) << outcome.err;
  EXPECT_NE(outcome.err.find("Permission denied"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("data: "), std::string::npos) << "before any work: " << outcome.err;
}

TEST(RunDirectory, ThatIsRemovedDuringTheRunIsMadeAgain) {
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  const std::vector<std::string> endless = {"--epochs", "100000"};
  Background running(plain(dir, endless));
  ASSERT_TRUE(wait_until([&] { return fs::exists(file_of(dir, 1)) || !running.running(); }));
  // A checkpoint may be written between the two, so that it takes more than one attempt.
  ASSERT_TRUE(wait_until([&] {
    std::error_code error;
    fs::remove_all(dir, error);
    return !error;
  }));
  ASSERT_TRUE(wait_until([&] { return fs::exists(model_of(dir)) || !running.running(); }));
  running.send(SIGTERM);
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_EQ(run(plain(dir, {"--resume", "must", "--max_steps", "1"})).exit_code, 0) << "and can be resumed from";
}

TEST(Names, OddOnesWork) {
  const TemporaryFolder folder(kRunBytes);
  const std::string odd = folder / "with space\nand line/\xc3\xbc";
  for (const std::string& dir : {odd, folder / std::string(255, 'n'), folder / "slash/"}) {
    const Outcome outcome = run(plain(dir, {"--max_steps", "1"}));
    EXPECT_EQ(outcome.exit_code, 0) << dir << ": " << outcome.err;
    EXPECT_EQ(run(plain(dir, {"--max_steps", "2", "--resume", "must"})).exit_code, 0) << dir;
    EXPECT_TRUE(fs::exists(file_of(dir, 2))) << dir;
    fs::remove_all(dir);
  }
  const Outcome missing = run(plain(folder / "run", {"--resume", folder / "no\nsuch"}));
  EXPECT_EQ(missing.exit_code, 2) << missing.err;
  EXPECT_EQ(missing.err.substr(missing.err.find("error: ")).find('\n'),
            missing.err.substr(missing.err.find("error: ")).size() - 1)
      << "one line: " << missing.err;
}

TEST(Surroundings, LanguageAndTimeZoneDoNotMatter) {
  const TemporaryFolder folder(kRunBytes);
  for (const char* language : {"de_DE.UTF-8", "tr_TR.UTF-8"}) {
    const std::string dir = folder / "run";
    const Outcome outcome = run(plain(dir), {{"LC_ALL", language}, {"LANG", language}, {"TZ", "Pacific/Chatham"}});
    ASSERT_EQ(outcome.exit_code, 0) << language << ": " << outcome.err;
    EXPECT_TRUE(read_text(file_of(dir, kTinySteps)) == final_model()) << language;
    EXPECT_NE(read_text(dir + "/config.toml").find("temperature = 0.5"), std::string::npos) << language;
    fs::remove_all(dir);
  }
}

TEST(Surroundings, OneCoreIsUsedAlone) {
  cpu_set_t cores;
  ASSERT_EQ(::sched_getaffinity(0, sizeof cores, &cores), 0);
  int core = 0;
  while (!CPU_ISSET(core, &cores)) ++core;
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  // From any number of threads come the same bits on eigen, so the thread count is what is left to see.
  const Outcome outcome = shell("exec taskset -c " + std::to_string(core) +
                                shell_text(plain(dir, {"--threads", "0", "--max_steps", "1", "--device", "eigen"})));
  if (outcome.exit_code == 127) GTEST_SKIP() << "no taskset";
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find(", 1 threads"), std::string::npos) << outcome.err;
}

TEST(Surroundings, MoreThreadsThanCores) {
  const TemporaryFolder folder(kRunBytes);
  for (const char* threads : {"1", "13"})
    ASSERT_EQ(run(plain(folder / threads, {"--threads", threads, "--max_steps", "2", "--device", "eigen"})).exit_code,
              0);
  EXPECT_TRUE(read_text(file_of(folder / "1", 2)) == read_text(file_of(folder / "13", 2)));
}

TEST(Surroundings, OneDnnWithFewInstructionsStillTrains) {
  const TemporaryFolder folder(kRunBytes);
  const std::string dir = folder / "run";
  const auto argv = plain(dir, {"--device", "onednn", "--max_steps", "1"});
  const Outcome outcome =
      run(argv, {{"ONEDNN_MAX_CPU_ISA", "SSE41"}, {"DNNL_MAX_CPU_ISA", "SSE41"}, {"DCL_MAX_ISA", "baseline"}});
  if (outcome.exit_code == 4) GTEST_SKIP() << "no oneDNN";
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Outcome again = run(plain(dir, {"--device", "onednn", "--max_steps", "2"}));
  EXPECT_EQ(again.exit_code, 0) << again.err;
}

}  // namespace
}  // namespace dcl::test
