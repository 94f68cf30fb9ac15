// Memory of the compute threads: who gets a piece of a loop is chance, and must not decide when memory is taken.
#include "eigen/scratch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "augment/augment.h"
#include "core/parallel.h"
#include "core/registry.h"
#include "support/allocation_count.h"
#include "support/augment_bytes.h"

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

/// Crops of all sizes, blurred and not, and the whole image.
TEST(AugmentScratch, IsTakenByTheFirstCall) {
  constexpr int kExtent = 48, kOut = 32;
  const auto backend = make_backend("eigen");
  const std::vector<uint8_t> pool(3 * kExtent * kExtent, 7);
  std::vector<ViewParams> views;
  for (uint32_t i = 0; i < 30; ++i) views.push_back(draw_view({}, {0, kExtent, kExtent}, 2, 0, i, 0));
  views.push_back(evaluation_view({0, kExtent, kExtent}, kOut));
  std::vector<float> out(views.size() * 3 * kOut * kOut);
  const auto make_views = [&] {
    backend->augment({}, tensor_of(pool.data(), {std::ssize(pool)}), views_tensor(views),
                     tensor_of(out.data(), {std::ssize(views), kOut, kOut, 3}));
  };
  std::thread([&] {  // without memory from other tests
    const int64_t at_start = test::allocations;
    make_views();
    const int64_t after_first = test::allocations;
    for (int i = 0; i < 3; ++i) make_views();
    EXPECT_GT(after_first, at_start);
    EXPECT_EQ(test::allocations, after_first);
  })
      .join();
}

}  // namespace
}  // namespace dcl
