// Models of the C interface that are used again and again, side by side, and what they say meanwhile.
#include <gtest/gtest.h>

#include <array>
#include <span>
#include <stdexcept>
#include <thread>

#include "support/c_model.h"
#include "support/classifier_model.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace dcl::test {
namespace {

using CModels = CModel;

/// Calls before leave no trace: as a model that was opened for this call alone.
TEST_F(CModels, AModelIsUsedForBatchesOfEverySize) {
  dcl_model* model = open(encoder_);
  for (const int64_t images : {1, 3, 4, 5, 9, 3, 1}) {
    dcl_model* fresh = open(encoder_);
    EXPECT_EQ(embed(model, images), embed(fresh, images)) << images;
  }
  const std::vector<float> three = embed(model, 3);
  // The same bytes as images of another extent, and back.
  EXPECT_EQ(dcl_embed(model, pixels_.data(), 3, kSide / 2, 2 * kSide, 0, DCL_RAW, results_.data(), 3 * kWidth), DCL_OK);
  EXPECT_EQ(embed(model, 3), three);
}

TEST_F(CModels, ClassifyingAndEmbeddingTakeTurns) {
  dcl_model* model = open(write_random_classifier(folder_ / "classifier.safetensors"));
  std::array<float, 27> first{}, again{};
  const auto classify = [&](std::span<float> to, int64_t images) {
    ASSERT_EQ(dcl_classify(model, pixels_.data(), images, kSide, kSide, 0, DCL_LOGITS, to.data(), std::ssize(to)),
              DCL_OK)
        << dcl_last_error();
  };
  classify(first, 9);
  const std::vector<float> features = embed(model, 2);
  EXPECT_NE(std::vector<float>(features.begin(), features.begin() + kWidth),
            std::vector<float>(features.begin() + kWidth, features.end()));
  classify(again, 2);
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(again[i], first[i], 1e-4);
  classify(again, 9);
  EXPECT_EQ(again, first);
  EXPECT_EQ(embed(model, 2), features);
}

TEST_F(CModels, MessagesGoToTheCallbackAlone) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  embed(open(encoder_), 2);
  std::vector<std::string> lines;
  const auto keep = [](void* user, int level, const char* message) {
    static_cast<std::vector<std::string>*>(user)->push_back(std::to_string(level) + message);
  };
  EXPECT_EQ(dcl_set_log(keep, &lines), DCL_OK);
  open(encoder_);
  const size_t said = lines.size();
  EXPECT_EQ(dcl_set_log(nullptr, nullptr), DCL_OK);
  open(encoder_);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  ASSERT_GE(said, 1u);
  EXPECT_EQ(lines.size(), said);
  EXPECT_EQ(lines[0].find("0device: eigen on "), 0u) << lines[0];

  EXPECT_EQ(dcl_set_log([](void*, int, const char*) { throw std::runtime_error("of a callback"); }, nullptr), DCL_OK);
  expect(opened(encoder_), DCL_INTERNAL, "of a callback");
}

TEST_F(CModels, TheNumberOfThreadsStaysWhileAModelIsOpen) {
  EXPECT_EQ(dcl_set_threads(2), DCL_OK);
  dcl_model* model = open(encoder_);
  const std::vector<float> two = embed(model, 5);
  expect(dcl_set_threads(1), DCL_USAGE, "while a model is open");
  dcl_close(model);
  open_.clear();
  EXPECT_EQ(dcl_set_threads(1), DCL_OK);
#ifdef _OPENMP
  const int mine = omp_get_max_threads();
  omp_set_num_threads(3);
#endif
  EXPECT_EQ(embed(open(encoder_), 5), two) << "the same bits with every number";
#ifdef _OPENMP
  EXPECT_EQ(omp_get_max_threads(), 3) << "what the program itself computes with is left alone";
  omp_set_num_threads(mine);
#endif
}

TEST_F(CModels, ModelsAreUsedSideBySide) {
  EXPECT_EQ(dcl_set_threads(2), DCL_OK);
  const std::vector<float> nine = embed(open(encoder_), 9), five = embed(open_[0], 5);
  dcl_model* opened_elsewhere = open(encoder_);
  expect(dcl_features(nullptr, nullptr), DCL_USAGE, "must not be null");
  const auto use = [&](int64_t images, const std::vector<float>& expected, dcl_model* model) {
    EXPECT_STREQ(dcl_last_error(), "") << "of this thread";
    for (int round = 0; round < 4; ++round) EXPECT_EQ(embed(model, images), expected);
    expect(dcl_embed(model, nullptr, 1, 1, 1, 0, DCL_RAW, nullptr, 0), DCL_USAGE, "pixels");
  };
  std::thread first([&] {
    dcl_model* model = nullptr;
    ASSERT_EQ(dcl_open(encoder_.c_str(), &options_, &model), DCL_OK) << dcl_last_error();
    use(9, nine, model);
    dcl_close(model);
  });
  std::thread second(use, 5, five, opened_elsewhere);
  first.join();
  second.join();
  EXPECT_NE(std::string(dcl_last_error()).find("must not be null"), std::string::npos) << "and so is this thread's";
}

}  // namespace
}  // namespace dcl::test
