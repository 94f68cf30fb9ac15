// Known answers published with Random123 (kat_vectors) and the properties the project relies on.
#include "math/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace dcl {
namespace {

void expect_block(PhiloxBlock got, std::array<uint32_t, 4> want) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(got.x[i], want[i]) << "word " << i;
}

TEST(Philox, KnownAnswers) {
  expect_block(philox4x32_10({{0, 0, 0, 0}}, 0, 0), {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t ones = 0xffffffff;
  expect_block(philox4x32_10({{ones, ones, ones, ones}}, ones, ones), {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  expect_block(philox4x32_10({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0),
               {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(Philox, StreamsOfDifferentUseDiffer) {
  std::set<uint64_t> first_draws;
  for (uint16_t view = 0; view < 3; ++view)
    for (uint32_t sample = 0; sample < 3; ++sample)
      for (uint32_t epoch = 0; epoch < 3; ++epoch)
        for (const auto purpose : {RandomPurpose::shuffle, RandomPurpose::augment, RandomPurpose::label_noise,
                                   RandomPurpose::label_fraction})
          first_draws.insert(RandomStream(7, purpose, epoch, sample, view).next_u64());
  EXPECT_EQ(first_draws.size(), 108u);
}

TEST(Philox, UniformAndBoundedDrawsStayInRange) {
  RandomStream stream(1, RandomPurpose::test);
  double sum = 0;
  std::set<uint64_t> seen;
  for (int i = 0; i < 10000; ++i) {
    const double u = stream.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    const uint64_t b = stream.below(7);
    ASSERT_LT(b, 7u);
    seen.insert(b);
  }
  EXPECT_NEAR(sum / 10000, 0.5, 4 * 0.2887 / 100);  // four standard errors
  EXPECT_EQ(seen.size(), 7u);
}

}  // namespace
}  // namespace dcl
