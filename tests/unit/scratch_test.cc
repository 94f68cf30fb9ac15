// Memory of the compute threads: who gets a piece of a loop is chance, and must not decide when memory is taken.
#include "eigen/scratch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "core/parallel.h"
#include "support/allocation_count.h"

namespace dcl {
namespace {

constexpr int kThreads = 3;
constexpr size_t kBytes = 100'000;

class Scratch : public testing::Test {
 protected:
  void SetUp() override {
    set_thread_count(kThreads);
    if (thread_count() != kThreads) GTEST_SKIP() << "built without OpenMP";
  }
  void TearDown() override { set_thread_count(0); }
};

/// One piece for every thread: each waits for all to have one.
template <class Body>
void on_every_thread(Body&& body) {
  std::atomic<int> arrived{0};
  parallel_for(kThreads, [&](int64_t) {
    for (++arrived; arrived < kThreads;) std::this_thread::yield();
    body();
  });
}

void expect_all_threads_have(ScratchSlot slot, size_t bytes) {
  const int64_t before = test::allocations;
  on_every_thread([&] { thread_scratch(slot, bytes); });
  EXPECT_EQ(test::allocations - before, 0);
}

TEST_F(Scratch, GrowsOnThreadsWithoutAPiece) {
  std::atomic<bool> one_asked{false};
  parallel_for(kThreads, [&](int64_t) {
    if (!one_asked.exchange(true)) thread_scratch(ScratchSlot::rows, kBytes);
  });
  expect_all_threads_have(ScratchSlot::rows, kBytes);
}

TEST_F(Scratch, GrowsOnOtherThreadsWhereOneHadItFromOutsideOfALoop) {
  thread_scratch(ScratchSlot::reduce, kBytes);
  const std::thread::id this_thread = std::this_thread::get_id();
  on_every_thread([&] {
    if (std::this_thread::get_id() == this_thread) thread_scratch(ScratchSlot::reduce, kBytes);
  });
  expect_all_threads_have(ScratchSlot::reduce, kBytes);
}

TEST_F(Scratch, KeepsWhatWasWritten) {
  auto* bytes = thread_scratch<uint8_t>(ScratchSlot::view, 1000);
  for (int i = 0; i < 1000; ++i) bytes[i] = static_cast<uint8_t>(i);
  bytes = thread_scratch<uint8_t>(ScratchSlot::view, int64_t{1} << 20);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(bytes[i], static_cast<uint8_t>(i)) << i;
}

}  // namespace
}  // namespace dcl
