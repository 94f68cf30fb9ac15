// The shell around every app: streams, error lines and exit codes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "support/process.h"

namespace dcl::test {
namespace {

std::string probe() { return std::getenv("DCL_SHELL_PROBE"); }

Outcome shell(const std::string& command) { return run({"/bin/sh", "-c", command}); }

TEST(Shell, DataToStdoutMessagesToStderr) {
  const Outcome data = run({probe()});
  EXPECT_EQ(data.exit_code, 0);
  EXPECT_EQ(data.out, "data\n");
  EXPECT_EQ(data.err, "");
  const Outcome message = run({probe(), "--act", "log"});
  EXPECT_EQ(message.out, "");
  EXPECT_EQ(message.err, "warning: look\n");
}

TEST(Shell, ExitCodesAndOneLine) {
  for (int kind = 1; kind <= 8; ++kind) {
    const Outcome outcome = run({probe(), "--act", "throw", "--kind", std::to_string(kind)});
    EXPECT_EQ(outcome.exit_code, kind);
    EXPECT_EQ(outcome.err, "error: what, where and what to do\n");
    EXPECT_EQ(outcome.out, "");
  }
  EXPECT_EQ(run({probe(), "--act", "bad_alloc"}).exit_code, 7);
  EXPECT_EQ(run({probe(), "--act", "interrupted"}).exit_code, 75);
  const Outcome other = run({probe(), "--act", "other"});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_EQ(other.err, "error: internal error: odd; please report it\n");
}

/// The process, its name and its arguments stay what they were.
TEST(Shell, ThreadsDoNotSpinForLongUnlessAskedTo) {
  const auto waiting = [](const std::string& environment) {
    const Outcome outcome = shell("unset OMP_WAIT_POLICY; echo $$; exec env " + environment + " '" + probe() +
                                  "' --act waiting --text 'of two  words'");
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    const size_t line = outcome.out.find('\n');
    const std::string start = outcome.out.substr(0, line) + " shell_probe of two  words ";
    EXPECT_TRUE(outcome.out.substr(line + 1).starts_with(start)) << outcome.out;
    return outcome.out.substr(line + 1 + start.size());
  };
  EXPECT_EQ(waiting(""), "10000\n");
  EXPECT_EQ(waiting("GOMP_SPINCOUNT=7"), "7\n");
  EXPECT_EQ(waiting("OMP_WAIT_POLICY=active"), "none\n");
  EXPECT_EQ(waiting("KMP_BLOCKTIME=5"), "none\n");
}

TEST(Shell, AProgramThatTheLoaderWasGivenRunsAsItIs) {
  const std::string loader = "/lib64/ld-linux-x86-64.so.2";
  if (::access(loader.c_str(), X_OK) != 0) GTEST_SKIP() << "no " << loader;
  const Outcome outcome = shell("unset OMP_WAIT_POLICY; exec " + loader + " '" + probe() + "' --act print");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "data\n");
}

TEST(Shell, UsageErrorsAreTwo) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--atc", "print"},
                                                    {"--act"},
                                                    {"--act", "jump"},
                                                    {"--kind", "9"},
                                                    {"stray"},
                                                    {"--kind=x"}}) {
    std::vector<std::string> argv = {probe()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const Outcome outcome = run(argv);
    EXPECT_EQ(outcome.exit_code, 2) << arguments[0];
    EXPECT_EQ(outcome.err.find("error: "), 0u) << outcome.err;
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
  }
  EXPECT_NE(run({probe(), "--atc", "print"}).err.find("did you mean --act?"), std::string::npos);
}

TEST(Shell, HelpAndVersionGoToStdout) {
  for (const char* flag : {"--help", "-h", "--version"}) {
    const Outcome outcome = run({probe(), flag});
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_NE(outcome.out, "");
    EXPECT_EQ(outcome.err, "");
  }
}

TEST(Shell, LostDataIsAnError) {
  const Outcome full = shell(probe() + " > /dev/full");
  EXPECT_EQ(full.exit_code, 5);
  EXPECT_EQ(full.err, "error: cannot write to the standard output: No space left on device\n");
  const Outcome much = shell(probe() + " --act much > /dev/full");  // fails before the end
  EXPECT_EQ(much.exit_code, 5);
  EXPECT_EQ(much.err, full.err);
  EXPECT_EQ(shell("(" + probe() + " --act much; echo $? >&2) | true").err.find("139"), std::string::npos);
  EXPECT_NE(shell("(" + probe() + " --act much; echo $? >&2) | true").err.find("\n5\n"), std::string::npos);
}

TEST(Shell, ClosedStreams) {
  EXPECT_EQ(shell(probe() + " --act log 2>&-").exit_code, 0);
  EXPECT_EQ(shell(probe() + " --act throw --kind 3 2>&-").exit_code, 3);
  EXPECT_EQ(shell(probe() + " --act log >&- <&-").exit_code, 0);
}

TEST(Shell, ColorOnDemandOnly) {
  EXPECT_EQ(run({probe(), "--act", "log"}).err.find('\x1b'), std::string::npos);
  EXPECT_NE(run({probe(), "--act", "log", "--color", "always"}).err.find("\x1b[33m"), std::string::npos);
  EXPECT_EQ(run({probe(), "--act", "log", "--color=never"}).err.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace dcl::test
