// Shuffling and the loader: what a batch holds, that thread counts and restarts do not change a bit of it, and how
// workers end.
#include "data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/registry.h"
#include "data/shuffle.h"
#include "eigen/eigen_backend.h"

namespace dcl {
namespace {

constexpr uint64_t kSeed = 42;

std::vector<int32_t> permutation(uint64_t seed, uint32_t epoch, size_t count) {
  std::vector<int32_t> order(count);
  epoch_permutation(seed, epoch, order);
  return order;
}

TEST(Shuffle, IsAPermutationKeyedBySeedAndEpoch) {
  const std::vector<int32_t> order = permutation(1, 2, 1000);
  std::vector<int32_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (int32_t i = 0; i < 1000; ++i) ASSERT_EQ(sorted[static_cast<size_t>(i)], i);
  EXPECT_EQ(permutation(1, 2, 1000), order);
  EXPECT_NE(permutation(1, 3, 1000), order);
  EXPECT_NE(permutation(2, 2, 1000), order);
  EXPECT_EQ(permutation(1, 1, 1), std::vector<int32_t>{0});
  EXPECT_EQ(permutation(9, 4, 8), (std::vector<int32_t>{7, 2, 6, 4, 0, 3, 5, 1}));  // promised to later versions
}

TEST(Shuffle, EveryOrderIsEquallyLikely) {
  constexpr int kDraws = 24000;
  std::array<int, 256> counts{};
  for (uint32_t epoch = 0; epoch < kDraws; ++epoch) {
    const std::vector<int32_t> p = permutation(5, epoch, 4);
    ++counts[static_cast<size_t>(p[0] * 64 + p[1] * 16 + p[2] * 4 + p[3])];
  }
  double chi_square = 0;
  int orders = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    ++orders;
    chi_square += (count - kDraws / 24.0) * (count - kDraws / 24.0) / (kDraws / 24.0);
  }
  EXPECT_EQ(orders, 24);
  EXPECT_LT(chi_square, 49.7);  // 23 degrees of freedom, p = 0.001
}

class LoaderTest : public testing::Test {
 protected:
  LoaderTest() : backend_(make_backend("eigen")) {
    DatasetSpec spec;
    spec.shapes_count = 53;
    data_ = load_dataset(spec);
    options_.batch = 10;
    options_.seed = kSeed;
    options_.threads = 2;
    options_.augment = augment_desc(settings_);
  }
  Loader make() { return Loader(data_, *backend_, training_views(settings_, kSeed), options_); }

  struct Copy {
    int64_t epoch, step;
    std::vector<int32_t> indices, labels;
    std::vector<uint8_t> views;
    bool operator==(const Copy&) const = default;
  };
  static Copy copy_of(const Batch& b) {
    const auto* bytes = static_cast<const uint8_t*>(b.views.data);
    return {b.epoch,
            b.step,
            {b.indices.begin(), b.indices.end()},
            {b.labels.begin(), b.labels.end()},
            {bytes, bytes + b.views.bytes()}};
  }
  static std::vector<Copy> take(Loader& loader, int count) {
    std::vector<Copy> out;
    for (int i = 0; i < count; ++i) {
      const Batch* batch = loader.next();
      if (batch == nullptr) break;
      out.push_back(copy_of(*batch));
    }
    return out;
  }

  std::unique_ptr<Backend> backend_;
  Dataset data_;
  AugmentSettings settings_;
  LoaderOptions options_;
};

TEST_F(LoaderTest, BatchHoldsTheViewsOfItsImagesViewMajor) {
  options_.views = 3;
  Loader loader = make();
  EXPECT_EQ(loader.steps_per_epoch(), 5);
  loader.start(2, 1);
  const Batch& batch = *loader.next();
  EXPECT_EQ(batch.epoch, 2);
  EXPECT_EQ(batch.step, 1);
  EXPECT_EQ(batch.images, 10);
  ASSERT_EQ(batch.views.shape, Shape({30, 32, 32, 3}));
  const std::vector<int32_t> order = permutation(kSeed, 2, 53);
  const auto* views = batch.views.as<float>();
  std::vector<float> expected(32 * 32 * 3);
  for (int view = 0; view < 3; ++view) {
    for (int i = 0; i < 10; ++i) {
      const auto index = static_cast<uint32_t>(order[static_cast<size_t>(10 + i)]);
      ASSERT_EQ(batch.indices[static_cast<size_t>(i)], order[static_cast<size_t>(10 + i)]);
      ASSERT_EQ(batch.labels[static_cast<size_t>(i)], data_.labels[index]);
      const ViewParams params = draw_view(settings_, data_.images[index], kSeed, 2, index, static_cast<uint16_t>(view));
      backend_->augment(options_.augment, data_.pool(), views_tensor({&params, 1}),
                        tensor_of(expected.data(), {1, 32, 32, 3}));
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), views + (view * 10 + i) * 32 * 32 * 3)) << view << i;
    }
  }
}

TEST_F(LoaderTest, LabelsMayBeOthersThanThoseOfTheDataAndChangeNothingElse) {
  Loader plain = make();
  plain.start();
  std::vector<Copy> expected = take(plain, 7);
  std::vector<int32_t> labels(53);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = 100 + static_cast<int32_t>(i);
  options_.labels = labels;
  Loader loader = make();
  loader.start();
  for (Copy& batch : expected)
    std::ranges::transform(batch.indices, batch.labels.begin(), [](int32_t image) { return 100 + image; });
  EXPECT_TRUE(take(loader, 7) == expected);
  options_.labels = std::span(labels).first(52);
  EXPECT_THROW(make(), Error);
}

TEST_F(LoaderTest, ThreadCountsAndRingSizesGiveTheSameBits) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    options_.dtype = dtype;
    std::vector<Copy> expected;
    for (const auto& [threads, ring] : {std::pair{1, 2}, {2, 3}, {4, 2}, {4, 5}, {0, 3}}) {
      options_.threads = threads;
      options_.ring = ring;
      Loader loader = make();
      loader.start();
      const std::vector<Copy> batches = take(loader, 17);
      ASSERT_EQ(batches.size(), 17u);
      if (expected.empty()) expected = batches;
      EXPECT_TRUE(batches == expected) << threads << " threads, ring of " << ring;
    }
  }
}

TEST_F(LoaderTest, StartsAtAnyPosition) {
  Loader loader = make();
  loader.start();
  const std::vector<Copy> straight = take(loader, 13);
  for (const int skipped : {1, 4, 5, 11}) {
    loader.start(skipped / 5, skipped % 5);
    const std::vector<Copy> resumed = take(loader, 13 - skipped);
    EXPECT_TRUE(std::equal(resumed.begin(), resumed.end(), straight.begin() + skipped)) << skipped;
  }
  EXPECT_THROW(loader.start(0, 5), Error);
  EXPECT_THROW(loader.start(-1, 0), Error);
}

TEST_F(LoaderTest, EpochsVisitEveryImageOnceInNewOrder) {
  options_.drop_last = false;
  options_.end_epoch = 2;
  Loader loader = make();
  EXPECT_EQ(loader.steps_per_epoch(), 6);
  loader.start();
  std::vector<int32_t> seen[2];
  std::vector<int64_t> sizes;
  while (const Batch* batch = loader.next()) {
    seen[batch->epoch].insert(seen[batch->epoch].end(), batch->indices.begin(), batch->indices.end());
    sizes.push_back(batch->images);
    EXPECT_EQ(batch->views.shape, Shape({2 * batch->images, 32, 32, 3}));
  }
  EXPECT_EQ(loader.next(), nullptr);
  EXPECT_EQ(sizes, (std::vector<int64_t>{10, 10, 10, 10, 10, 3, 10, 10, 10, 10, 10, 3}));
  EXPECT_NE(seen[0], seen[1]);
  for (std::vector<int32_t>& epoch : seen) {
    EXPECT_EQ(std::set<int32_t>(epoch.begin(), epoch.end()).size(), 53u);
    EXPECT_EQ(epoch.size(), 53u);
  }
  EXPECT_EQ(loader.stats().batches, 12);
  EXPECT_EQ(loader.stats().images, 106);
  EXPECT_GT(loader.stats().images_per_second(), 0);
  EXPECT_LE(loader.stats().wait_fraction(), 1);
}

/// A backend whose device reads a batch late.
class LateReader : public EigenBackend {
 public:
  std::unique_ptr<Fence> make_fence() override {
    struct Late final : Fence {
      void wait() override { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }
    };
    return std::make_unique<Late>();
  }
};

TEST_F(LoaderTest, ADeviceThatIsBehindIsNotWaitedForData) {
  LateReader backend;
  options_.views = 1;
  options_.threads = 1;
  Loader loader(data_, backend, evaluation_views(32), options_);
  loader.start();
  for (int i = 0; i < 10; ++i) ASSERT_NE(loader.next(), nullptr);
  EXPECT_GT(loader.stats().seconds, 0.1);
  EXPECT_LT(loader.stats().wait_fraction(), 0.5);  // 1 when the device's time counts
}

TEST_F(LoaderTest, WithoutShufflingKeepsTheOrder) {
  options_.shuffle = false;
  options_.drop_last = false;
  options_.batch = 100;  // more than there are
  options_.views = 1;
  options_.end_epoch = 2;
  Loader loader(data_, *backend_, evaluation_views(32), options_);
  loader.start();
  for (int epoch = 0; epoch < 2; ++epoch) {
    const Batch* batch = loader.next();
    ASSERT_NE(batch, nullptr);
    ASSERT_EQ(batch->images, 53);
    for (int32_t i = 0; i < 53; ++i) EXPECT_EQ(batch->indices[static_cast<size_t>(i)], i);
    EXPECT_TRUE(std::equal(batch->labels.begin(), batch->labels.end(), data_.labels.begin()));
    const float first = static_cast<float>(data_.image(52)[0]) / 255.0f;
    const float expected = (first - options_.augment.normalization.mean[0]) / options_.augment.normalization.std[0];
    EXPECT_FLOAT_EQ(batch->views.as<float>()[52 * 32 * 32 * 3], expected);
  }
  EXPECT_EQ(loader.next(), nullptr);
}

TEST_F(LoaderTest, WhatAWorkerThrowsReachesTheConsumer) {
  for (const int threads : {1, 4}) {
    options_.threads = threads;
    std::atomic<bool> broken = true;
    const ViewSampler good = training_views(settings_, kSeed);
    Loader loader(
        data_, *backend_,
        [&](const PooledImage& image, uint32_t epoch, uint32_t sample, uint16_t view) {
          if (broken && epoch == 1) fail(ErrorKind::data, "planted");
          return good(image, epoch, sample, view);
        },
        options_);
    loader.start();
    int received = 0;
    try {
      for (;; ++received) loader.next();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
      EXPECT_STREQ(error.what(), "planted");
    }
    EXPECT_LE(received, 5);
    EXPECT_THROW(loader.next(), Error);
    broken = false;
    loader.start(1, 0);
    EXPECT_EQ(take(loader, 6).size(), 6u);
  }
}

TEST_F(LoaderTest, StopsInTheMiddleOfEverything) {
  std::atomic<int> calls = 0;
  const ViewSampler sampler = [&](const PooledImage& image, uint32_t, uint32_t, uint16_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ++calls;
    return evaluation_view(image, 32);
  };
  options_.threads = 4;
  Loader loader(data_, *backend_, sampler, options_);
  for (int round = 0; round < 3; ++round) {
    loader.start();
    if (round > 0) loader.next();
    const auto asked = std::chrono::steady_clock::now();
    loader.stop();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count();
    EXPECT_LT(seconds, 1.0);  // a slice takes 32 ms; the epoch would take seconds
    const int at_stop = calls;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(calls, at_stop);
  }
  loader.stop();  // again is harmless
}

TEST_F(LoaderTest, RefusesWhatCannotWork) {
  const auto kind_of = [&](LoaderOptions options) {
    try {
      Loader(data_, *backend_, evaluation_views(32), options);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::internal;
  };
  LoaderOptions o = options_;
  o.batch = 54;
  EXPECT_EQ(kind_of(o), ErrorKind::usage);
  for (const auto change : {+[](LoaderOptions& x) { x.batch = 0; }, +[](LoaderOptions& x) { x.views = 0; },
                            +[](LoaderOptions& x) { x.ring = 1; }, +[](LoaderOptions& x) { x.threads = -1; },
                            +[](LoaderOptions& x) { x.dtype = DType::u8; }}) {
    o = options_;
    change(o);
    EXPECT_EQ(kind_of(o), ErrorKind::usage);
  }
  Loader idle = make();
  EXPECT_THROW(idle.next(), Error);
}

}  // namespace
}  // namespace dcl
