// Near and identical pairs of images, within a set and between two, against their definition.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/registry.h"
#include "support/audit_sets.h"

namespace dcl::test {
namespace {

/// Counts and pairs by their definition. Similarities of `tied` sets are exact.
struct Naive {
  std::vector<NearPair> pairs;
  DuplicateCounts counts;

  Naive(const Set& a, const Set& b, bool between, double threshold) {
    std::vector<int> near(static_cast<size_t>(b.size())), identical(near);
    for (int64_t i = 0; i < a.size(); ++i)
      for (int64_t j = between ? 0 : i + 1; j < b.size(); ++j) {
        const auto x = static_cast<size_t>(i), y = static_cast<size_t>(j);
        const bool same = a.contents[x] == b.contents[y];
        const double similarity = same ? 1 : a.similarity(i, b, j);
        if (similarity < threshold) continue;
        pairs.push_back(
            {static_cast<float>(similarity), same, between, static_cast<int32_t>(i), static_cast<int32_t>(j)});
        counts.pairs += 1, counts.identical_pairs += same;
        near[y] = 1, identical[y] |= same;
        if (!between) near[x] = 1, identical[x] |= same;
      }
    counts.images = std::count(near.begin(), near.end(), 1);
    counts.identical_images = std::count(identical.begin(), identical.end(), 1);
  }
};

TEST(AuditPairs, NearAndIdenticalPairsMatchTheDefinition) {
  const auto backend = make_backend("eigen");
  Set a = make_set(Kind::tied, 600, 0, 3, 6), b = make_set(Kind::tied, 90, 0, 3, 7);
  a.contents[5] = a.contents[17] = a.contents[599] = b.contents[3] = b.contents[4];
  a.contents[100] = b.contents[80];
  b.contents[11] = b.contents[12];  // within the second set: not looked for
  const AuditSet other = b.view();
  for (const double threshold : {-1.0, 0.25, 0.75, 1.0}) {
    SCOPED_TRACE(threshold);
    const Naive within(a, a, false, threshold), between(a, b, true, threshold);
    std::vector<NearPair> want = within.pairs;
    want.insert(want.end(), between.pairs.begin(), between.pairs.end());
    std::stable_sort(want.begin(), want.end(), [](const NearPair& x, const NearPair& y) {
      return x.similarity != y.similarity ? x.similarity > y.similarity : x.identical > y.identical;
    });
    for (const int64_t most : {int64_t{0}, int64_t{1}, int64_t{300}, int64_t{7000}, int64_t{1} << 40}) {
      const Audit got = audit(*backend, a.view(), &other, {.threshold = threshold, .most = most});
      EXPECT_EQ(got.within, within.counts);
      EXPECT_EQ(got.between, between.counts);
      const auto kept = static_cast<size_t>(std::min(most, std::ssize(want)));
      ASSERT_EQ(got.pairs.size(), kept);
      EXPECT_TRUE(std::equal(got.pairs.begin(), got.pairs.end(), want.begin())) << most;
    }
  }
}

TEST(AuditPairs, ContentsAreEqualWhereExtentAndPixelsAre) {
  const Dataset shapes = load_dataset({.name = "shapes", .shapes_count = 4, .shapes_size = 16});
  Dataset a = shapes.subset(std::vector<int32_t>{0, 1, 0, 2}), b = shapes.subset(std::vector<int32_t>{1, 2, 3, 3});
  a.images[3].h = 8, a.images[3].w = 32;  // the same bytes
  b.pixels.data()[b.images[3].offset + 767] ^= 1;
  const Dataset* const sets[] = {&a, &b};
  EXPECT_EQ(content_numbers(sets), (std::vector<std::vector<int32_t>>{{0, 1, 0, 2}, {1, 3, 4, 5}}));
}

}  // namespace
}  // namespace dcl::test
