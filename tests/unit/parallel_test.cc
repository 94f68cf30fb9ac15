// Parallel loops, and what may be asked of their threads.
#include "core/parallel.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "core/control_groups.h"

namespace {
constexpr size_t kManyProcessors = 2048;
std::atomic<bool> g_many{false};
}  // namespace

/// Stands before the system's own for the library, too. With g_many: three of the processors of a large machine.
int sched_getaffinity(pid_t process, size_t bytes, cpu_set_t* set) noexcept {
  static const auto next = reinterpret_cast<int (*)(pid_t, size_t, cpu_set_t*)>(dlsym(RTLD_NEXT, "sched_getaffinity"));
  if (!g_many) return next(process, bytes, set);
  if (bytes * 8 < kManyProcessors) {
    errno = EINVAL;
    return -1;
  }
  std::memset(set, 0, bytes);
  for (size_t processor = 1500; processor < 1503; ++processor) CPU_SET_S(processor, bytes, set);
  return 0;
}

namespace dcl {
namespace {

std::atomic<int> g_runs{0};
void count_run() noexcept { ++g_runs; }

class Parallel : public testing::Test {
 protected:
  void SetUp() override { set_thread_count(3); }
  void TearDown() override { set_thread_count(0); }
};

TEST_F(Parallel, EveryIndexOnce) {
  std::vector<std::atomic<int>> seen(1000);
  parallel_for(1000, [&](int64_t i) { ++seen[static_cast<size_t>(i)]; });
  for (const auto& times : seen) EXPECT_EQ(times, 1);
}

TEST_F(Parallel, TaskRunsOnEveryThreadAfterTheLoop) {
  if (thread_count() != 3) GTEST_SKIP() << "built without OpenMP";
  g_runs = 0;
  std::atomic<int> early{0};
  parallel_for(2, [&](int64_t i) {  // fewer pieces than threads
    EXPECT_TRUE(i == 0 || after_loop_on_every_thread(count_run));
    early += g_runs;
  });
  EXPECT_EQ(early, 0);
  EXPECT_EQ(g_runs, 3);
  parallel_for(2, [](int64_t) {});
  EXPECT_EQ(g_runs, 3) << "asked once";
}

TEST_F(Parallel, OutsideOfALoopNothingIsAsked) {
  g_runs = 0;
  EXPECT_FALSE(after_loop_on_every_thread(count_run));
  parallel_for(8, [](int64_t) {});
  EXPECT_EQ(g_runs, 0);
}

TEST_F(Parallel, AnExceptionComesThroughAndLeavesNothingBehind) {
  EXPECT_THROW(parallel_for(8,
                            [](int64_t i) {
                              if (i == 5) throw std::runtime_error("planted");
                            }),
               std::runtime_error);
  EXPECT_FALSE(after_loop_on_every_thread(count_run));
}

TEST(ThreadCount, OfMoreProcessorsThanAnOrdinarySetHolds) {
  g_many = true;
  set_thread_count(0);
  const int threads = thread_count();
  g_many = false;
  set_thread_count(0);
  if (threads == 1 && thread_count() == 1) GTEST_SKIP() << "built without OpenMP, or on one processor";
  EXPECT_EQ(threads, static_cast<int>(std::ceil(std::min(cpu_quota().value_or(3), 3.0))));
}

}  // namespace
}  // namespace dcl
