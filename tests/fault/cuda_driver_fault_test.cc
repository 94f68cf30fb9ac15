// Machines where CUDA cannot be used, by a stand-in for the driver (fake_driver/driver.cc): one clear line with the
// documented exit code, and --device auto takes another backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "support/tiny_run.h"

namespace dcl::test {
namespace {

struct Machine {
  const char* name;
  int status, version;  ///< of the stand-in
  const char* reason;   ///< part of the line
};

/// A folder with nothing but a libcuda.so.1.
Environment on(const Machine& machine) {
  return {{"LD_LIBRARY_PATH", DCL_FAKE_DRIVER},
          {"DCL_FAKE_DRIVER_STATUS", std::to_string(machine.status)},
          {"DCL_FAKE_DRIVER_VERSION", std::to_string(machine.version)}};
}

constexpr int kCurrent = 13000, kOld = 11040;
constexpr Machine kMachines[] = {
    {"NoGpu", 100, kCurrent, "sees no GPU (it supports CUDA 13.0)"},
    {"OldDriver", 100, kOld, "driver is too old (it supports CUDA 11.4)"},
    {"OldDriverWithGpu", 0, kOld, "driver is too old (it supports CUDA 11.4)"},
    {"LibraryAndModuleDiffer", 803, kCurrent, "cudaErrorSystemDriverMismatch"},
    {"ForwardCompatibilityRefused", 804, kCurrent, "cudaErrorCompatNotSupportedOnDevice"},
    {"NotStartedYet", 802, kCurrent, "cudaErrorSystemNotReady"},
    {"UnknownError", 999, kCurrent, "cudaErrorUnknown"},
    {"OutOfMemory", 2, kCurrent, "memory"},
};

class CudaDriver : public testing::TestWithParam<Machine> {};

TEST_P(CudaDriver, PretrainingOnCudaEndsWithOneLine) {
  const TemporaryFolder folder;
  const Outcome outcome = run(tiny_run(folder / "run", {"--device", "cuda"}), on(GetParam()));
  EXPECT_EQ(outcome.exit_code, GetParam().status == 2 ? 7 : 4) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_EQ(outcome.err.rfind("error: ", 0), 0u) << outcome.err;
  EXPECT_NE(outcome.err.find(GetParam().reason), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("context is lost"), std::string::npos) << "there was none: " << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(model_of(folder / "run")));
}

TEST_P(CudaDriver, InfoSaysWhy) {
  const Outcome outcome = run({app("dcl-info")}, on(GetParam()));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const size_t line = outcome.out.find("backend cuda ");
  ASSERT_NE(line, std::string::npos) << outcome.out;
  const std::string text = outcome.out.substr(line, outcome.out.find('\n', line) - line);
  EXPECT_NE(text.find("not available: "), std::string::npos) << text;
  EXPECT_NE(text.find(GetParam().reason), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(Machines, CudaDriver, testing::ValuesIn(kMachines),
                         [](const auto& machine) { return std::string(machine.param.name); });

TEST(CudaDriverAuto, TakesAnotherBackend) {
  const TemporaryFolder folder(400'000'000);
  const auto argv = tiny_run(folder / "run", {"--device", "auto", "--no_knn", "--epochs", "1"});
  for (const Machine& machine : {kMachines[0], kMachines[3]}) {
    const Outcome outcome = run(argv, on(machine));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    std::filesystem::remove_all(folder / "run");
  }
}

}  // namespace
}  // namespace dcl::test
