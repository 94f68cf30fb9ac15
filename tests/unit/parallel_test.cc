// Parallel loops, and what may be asked of their threads.
#include "core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

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

}  // namespace
}  // namespace dcl
