// DCL_PROFILE: what is counted and timed is the work of an op, also where ops are enqueued and steps recorded.
#include "core/profile.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "support/backends.h"

namespace dcl::test {
namespace {

[[maybe_unused]] const int g_profiling = ::setenv("DCL_PROFILE", "1", 1);  // is read once, at the first op

struct Row {
  long long calls = 0;
  double seconds = 0;
};

Row row_of(const std::string& op) {
  const std::string report = "\n" + profile_report();
  Row row;
  const size_t at = report.find("\n" + op + " ");
  if (at == std::string::npos) return row;
  EXPECT_EQ(std::sscanf(report.c_str() + at, " %*s %lld calls %lf s", &row.calls, &row.seconds), 2);
  return row;
}

class Profile : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());
};

TEST_P(Profile, CountsTheOpsOfARecordedStepWhenTheyAreDone) {
  constexpr int64_t kCount = 100;
  const Buffer memory(*backend_, kCount * sizeof(float));
  const long long before = row_of("fill").calls;
  const auto graph = backend_->capture([&] { backend_->fill(memory.view({kCount}, DType::f32), 3.0f); });
  EXPECT_EQ(row_of("fill").calls, before);
  graph->replay();
  graph->replay();
  EXPECT_EQ(row_of("fill").calls, before + 2);
  std::vector<float> host(kCount);
  backend_->copy_out(host.data(), memory.view({kCount}, DType::f32));
  EXPECT_EQ(host.back(), 3.0f);
}

TEST_P(Profile, TheTimeOfAnOpIsThatOfItsWork) {
  constexpr int64_t kExtent = 96;
  const GemmDesc product{.m = kExtent, .n = kExtent, .k = kExtent};
  const Buffer memory(*backend_, 3 * kExtent * kExtent * sizeof(float));
  const auto matrix = [&](int64_t which) {
    return memory.view({kExtent, kExtent}, DType::f32, static_cast<size_t>(which * kExtent * kExtent) * sizeof(float));
  };
  for (int64_t i = 0; i < 2; ++i) backend_->fill(matrix(i), 1.0f);
  const double before = row_of("gemm").seconds;
  const auto begin = std::chrono::steady_clock::now();
  backend_->gemm(product, matrix(0), matrix(1), {}, matrix(2));
  const auto returned = std::chrono::steady_clock::now();
  backend_->synchronize();
  const auto complete = std::chrono::steady_clock::now();
  const double timed = row_of("gemm").seconds - before;
  EXPECT_GT(timed, 0);
  EXPECT_LE(timed, std::chrono::duration<double>(returned - begin).count() + 1e-6);  // the report's digits
  // The emulated device works when it is waited for, so that it would be its whole work that is left.
  if (is_emulated(*backend_)) {
    EXPECT_LT(std::chrono::duration<double>(complete - returned).count(), timed);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Profile, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
