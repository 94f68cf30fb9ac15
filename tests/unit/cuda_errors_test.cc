// What CUDA's status codes become. Needs the runtime library, no GPU.
#include <gtest/gtest.h>

#include <functional>

#include "core/registry.h"
#include "cuda/errors.h"

namespace dcl::cuda {
namespace {

std::string message_of(ErrorKind kind, const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}
bool contains(const std::string& text, const char* part) { return text.find(part) != text.npos; }

TEST(CudaErrors, MemoryAndOtherErrorsLeaveTheContextUsable) {
  EXPECT_NO_THROW(check(cudaSuccess, "nothing"));
  const std::string memory = message_of(ErrorKind::out_of_memory, [] { check(cudaErrorMemoryAllocation, "graph"); });
  EXPECT_TRUE(contains(memory, "graph")) << memory;
  const std::string other = message_of(ErrorKind::environment, [] { check(cudaErrorInvalidValue, "copy to the GPU"); });
  EXPECT_TRUE(contains(other, "copy to the GPU") && contains(other, "cudaErrorInvalidValue")) << other;
  EXPECT_FALSE(context_lost());
  EXPECT_NO_THROW(require_context());
}

/// A failure that was dealt with is not that of the next launch.
TEST(CudaErrors, AReportedErrorIsNotReportedAgain) {
  if (cudaGetDeviceCount(nullptr) != cudaErrorInvalidValue) GTEST_SKIP() << "without a driver every call fails";
  message_of(ErrorKind::environment, [] { check(cudaGetDeviceCount(nullptr), "looking for a GPU"); });
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
}

/// A child process, since a lost context stays lost.
TEST(CudaErrorsDeathTest, AfterAStickyErrorNothingMoreIsAskedOfCuda) {
  // The last ones by number, since older toolkits do not name them: contained, tensor memory, MPS client, external
  // device.
  for (const cudaError_t status :
       {cudaErrorIllegalAddress, cudaErrorLaunchFailure, cudaErrorECCUncorrectable, static_cast<cudaError_t>(226),
        static_cast<cudaError_t>(721), static_cast<cudaError_t>(810), static_cast<cudaError_t>(911)})
    EXPECT_EXIT(
        {
          const std::string first = message_of(ErrorKind::environment, [&] { check(status, "kernel launch"); });
          const std::string second = message_of(ErrorKind::environment, [] { require_context(); });
          const bool ok = contains(first, "context is lost") && contains(first, cudaGetErrorName(status)) &&
                          contains(second, "context is lost") && context_lost();
          std::exit(ok ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
}

TEST(CudaErrors, VersionsAreSpelledAsNvidiaDoes) {
  EXPECT_EQ(version_text(13000), "13.0");
  EXPECT_EQ(version_text(12080), "12.8");
}

TEST(CudaErrors, WithoutAGpuTheModuleSaysWhy) {
  for (const BackendStatus& status : list_backends()) {
    if (status.name != "cuda") continue;
    ASSERT_FALSE(status.path.empty()) << "dcl_cuda.so was not found";
    if (status.available) GTEST_SKIP() << "there is a GPU";
    EXPECT_TRUE(contains(status.reason, "built with CUDA")) << status.reason;
    message_of(ErrorKind::environment, [] { make_backend("cuda"); });
  }
}

}  // namespace
}  // namespace dcl::cuda
