// The run directory: made, locked, recorded; and the signals a run obeys.
#include "run/run_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/fault.h"
#include "run/console.h"
#include "run/signals.h"
#include "support/process.h"

namespace dcl {
namespace {

namespace fs = std::filesystem;
using test::read_text;
using test::TemporaryFolder;

class RunDirectories : public testing::Test {
 protected:
  void TearDown() override { set_fault_plan(""); }
  Error refusal(const fs::path& path) {
    try {
      RunDirectory run(path, "x");
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorKind::internal, "was not refused");
  }
  TemporaryFolder folder_;
};

TEST_F(RunDirectories, IsMadeWithEverythingAbove) {
  const RunDirectory run(folder_ / "a/b c", "x");
  EXPECT_TRUE(fs::is_directory(run.checkpoints()));
  EXPECT_FALSE(run.reused());
}

TEST_F(RunDirectories, DefaultNamesDiffer) {
  const fs::path here = fs::current_path();
  fs::current_path(folder_.path());
  {
    const RunDirectory first({}, "shapes_tau0.10"), second({}, "shapes_tau0.10");
    EXPECT_NE(first.path(), second.path());
    const std::string name = first.path().native();
    EXPECT_EQ(name.find("runs/20"), 0u) << name;
    EXPECT_NE(name.find("Z_shapes_tau0.10"), std::string::npos) << name;
  }
  fs::current_path(here);
}

TEST_F(RunDirectories, SecondHolderIsRefusedAndToldWho) {
  const std::string path = folder_ / "r";
  {
    const RunDirectory holder(path, "x");
    const Error error = refusal(path);
    EXPECT_EQ(error.kind(), ErrorKind::locked);
    EXPECT_EQ(error.exit_code(), 8);
    for (const std::string& words :
         {std::string("host "), "process " + std::to_string(::getpid()), std::string("started 20")})
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
  const RunDirectory next(path, "x");  // released
}

TEST_F(RunDirectories, LockOfAKilledHolderIsTakenOver) {
  const std::string path = folder_ / "r";
  const pid_t child = ::fork();
  if (child == 0) {
    const RunDirectory run(path, "x");
    ::raise(SIGKILL);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ASSERT_TRUE(fs::exists(path + "/.lock"));
  const RunDirectory run(path, "x");
}

TEST_F(RunDirectories, UnwritableIsFoundAtTheStart) {
  test::write_text(folder_ / "file", "");
  EXPECT_EQ(refusal(folder_ / "file").kind(), ErrorKind::io);
  EXPECT_EQ(refusal(folder_ / "file/below").kind(), ErrorKind::io);
  EXPECT_EQ(refusal("/proc/dcl").kind(), ErrorKind::io);
  for (const char* plan : {"write:2:ENOSPC", "open:1:EROFS", "open:1:EACCES"}) {
    set_fault_plan(plan);
    const Error error = refusal(folder_ / "r");
    EXPECT_EQ(error.kind(), ErrorKind::io) << plan;
    EXPECT_NE(std::string(error.what()).find("/r/"), std::string::npos) << error.what();
  }
  set_fault_plan("");
  const RunDirectory run(folder_ / "r", "x");  // the failed ones released it
}

TEST_F(RunDirectories, RecordsTheRun) {
  int batch = 4;
  Options options("dcl-test", "x");
  options.add("batch_size", &batch, "images");
  const char* argv[] = {"dcl-test", "--batch_size", "4", "it's"};
  const std::string path = folder_ / "r";
  for (int again = 0; again < 2; ++again) {
    RunDirectory run(path, "x");
    EXPECT_EQ(run.reused(), again == 1);
    run.record(options, 4, argv, {{"data_hash", "abc"}});
    log(LogLevel::info, "not installed here");
    console().line("a line");
  }
  EXPECT_NE(read_text(path + "/config.toml").find("batch_size = 4\n"), std::string::npos);
  const std::string command = read_text(path + "/cmdline.txt");
  EXPECT_NE(command.find("Z dcl-test --batch_size 4 'it'\\''s'\n"), std::string::npos) << command;
  EXPECT_EQ(std::count(command.begin(), command.end(), '\n'), 2);
  const auto environment = nlohmann::json::parse(read_text(path + "/env.json"));
  EXPECT_EQ(environment["data_hash"], "abc");
  EXPECT_TRUE(environment["backends"]["eigen"]["available"]);
  EXPECT_FALSE(environment["compiler"].get<std::string>().empty());
  const std::string log_text = read_text(path + "/train.log");
  EXPECT_EQ(std::count(log_text.begin(), log_text.end(), '\n'), 2) << log_text;
}

TEST_F(RunDirectories, FifosInThePlaceOfItsFilesAreRefused) {
  const Options options("dcl-test", "x");
  for (const char* name : {"cmdline.txt", "train.log"}) {
    RunDirectory run(folder_ / name, "x");
    ASSERT_EQ(::mkfifo((run.path() / name).c_str(), 0600), 0);
    try {
      run.record(options, 0, nullptr);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io);
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
}

TEST_F(RunDirectories, LogOfARunThatFailsTakesTheReport) {
  const Options options("dcl-test", "x");
  const std::string path = folder_ / "r";
  try {
    RunDirectory run(path, "x");
    run.record(options, 0, nullptr);
    throw Error(ErrorKind::io, "planted");
  } catch (const Error& error) {
    console().error(error.what());
  }
  const std::string log_text = read_text(path + "/train.log");
  EXPECT_NE(log_text.find("Z error: planted\n"), std::string::npos) << log_text;
  console().close_log();
}

// ---- Signals --------------------------------------------------------------------------------------------------------

TEST(Signals, AreFlags) {
  Signals signals;
  EXPECT_FALSE(signals.stop_requested());
  ::raise(SIGUSR2);
  EXPECT_FALSE(signals.stop_requested());
  EXPECT_TRUE(signals.take_checkpoint_request());
  EXPECT_FALSE(signals.take_checkpoint_request());
  ::raise(SIGTERM);
  EXPECT_TRUE(signals.stop_requested());
  EXPECT_FALSE(signals.requeue_requested());
  ::raise(SIGUSR1);
  EXPECT_TRUE(signals.requeue_requested());
  EXPECT_THROW(Signals second, Error);
}

TEST(Signals, StartCleanAndGiveHandlersBack) {
  {
    Signals signals;
    ::raise(SIGINT);
    EXPECT_TRUE(signals.stop_requested());
  }
  Signals signals;
  EXPECT_FALSE(signals.stop_requested());
}

/// Exit code of a child that installs the handlers and runs `body`.
template <class Body>
int in_child(Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    {
      Signals signals;
      body();
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Signals, SecondInterruptEndsAtOnce) {
  EXPECT_EQ(in_child([] { ::raise(SIGINT); }), 0);
  EXPECT_EQ(in_child([] {
              ::raise(SIGINT);
              ::raise(SIGINT);
            }),
            130);
  EXPECT_EQ(in_child([] {
              ::raise(SIGTERM);
              ::raise(SIGTERM);
            }),
            0);
}

TEST(Signals, RequeueCallsScontrolWithTheJob) {
  const TemporaryFolder folder;
  const std::string scontrol = folder / "scontrol", seen = folder / "seen";
  test::write_text(scontrol, "#!/bin/sh\necho \"$@\" >> '" + seen + "'\nexit ${FAKE_STATUS:-0}\n");
  fs::permissions(scontrol, fs::perms::owner_all);
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", (folder.path() + ":" + path).c_str(), 1);
  for (const char* name : {"SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"}) ::unsetenv(name);
  EXPECT_FALSE(requeue_slurm_job());
  ::setenv("SLURM_JOB_ID", "17", 1);
  EXPECT_TRUE(requeue_slurm_job());
  ::setenv("SLURM_ARRAY_JOB_ID", "15", 1);
  ::setenv("SLURM_ARRAY_TASK_ID", "2", 1);
  EXPECT_TRUE(requeue_slurm_job());
  ::setenv("FAKE_STATUS", "1", 1);
  EXPECT_FALSE(requeue_slurm_job());
  EXPECT_EQ(read_text(seen), "requeue 17\nrequeue 15_2\nrequeue 15_2\n");
  for (const char* name : {"SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "FAKE_STATUS"})
    ::unsetenv(name);
  ::setenv("PATH", path.c_str(), 1);
}

}  // namespace
}  // namespace dcl
