// A call of the C interface for as many images as the one before allocates nothing.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "c/dcl.h"
#include "support/allocation_count.h"
#include "support/classifier_model.h"
#include "support/process.h"

namespace dcl::test {
namespace {

TEST(CAllocations, NonePerCallOfTheSameSize) {
  constexpr int64_t kSide = 16, kImages = 7;
  const TemporaryFolder folder;
  const std::string path = write_random_classifier(folder / "classifier.safetensors");
  dcl_options options{};
  options.struct_size = sizeof options;
  options.device = "eigen";
  options.batch_size = 4;
  dcl_model* model = nullptr;
  ASSERT_EQ(dcl_open(path.c_str(), &options, &model), DCL_OK) << dcl_last_error();
  std::vector<uint8_t> pixels(kImages * 3 * kSide * kSide, 9);
  std::vector<float> features(kImages * 512);
  std::array<float, 3 * kImages> scores{};
  const auto use = [&](int64_t images) {
    const bool done = dcl_embed(model, pixels.data(), images, kSide, kSide, 0, DCL_UNIT_LENGTH, features.data(),
                                std::ssize(features)) == DCL_OK &&
                      dcl_classify(model, pixels.data(), images, kSide, kSide, 0, DCL_PROBABILITIES, scores.data(),
                                   std::ssize(scores)) == DCL_OK;
    EXPECT_TRUE(done);
  };
  use(kImages);
  const int64_t before = allocations;
  for (int i = 0; i < 3; ++i) use(kImages);
  const int64_t same = allocations - before;
  EXPECT_EQ(same, 0);
  use(kImages - 5);
  EXPECT_GT(allocations - before, 0) << "the counter works: other passes take other memory";
  dcl_close(model);
}

}  // namespace
}  // namespace dcl::test
