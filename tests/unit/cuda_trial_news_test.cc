// A network has dozens of convolutions, and an engine that is wrong for one is wrong for many: a user reads of it once.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/log.h"
#include "cuda/trial_news.h"

namespace dcl::cuda {
namespace {

class News : public testing::Test {
 protected:
  News() {
    set_log_sink([this](LogLevel, std::string_view message) { said_.emplace_back(message); });
  }
  ~News() override { set_log_sink({}); }

  std::vector<std::string> said_;
};

TEST_F(News, TheBeginningIsToldOnceAndWhereChoicesAreKept) {
  TrialNews kept("/cache/plans"), lost({});
  kept.begin(), kept.begin(), lost.begin();
  ASSERT_EQ(said_.size(), 2u);
  EXPECT_NE(said_[0].find("kept in /cache/plans"), std::string::npos) << said_[0];
  EXPECT_NE(said_[1].find("at every start, for there is no plan cache"), std::string::npos) << said_[1];
}

TEST_F(News, AnEngineIsToldOncePerReason) {
  TrialNews news({});
  for (const char* key : {"forward n8", "forward n16"}) {
    news.passed_over(78, "78 2=1", "wrong results", key);
    news.passed_over(78, "78 2=2", "wrong results", key);
    news.passed_over(78, "78 2=1", "other bits every time", key);
    news.passed_over(3, "3", "wrong results", key);
  }
  const std::string end = " for forward n8: passed over, wherever it does";
  EXPECT_EQ(said_, (std::vector<std::string>{"engine 78 2=1 of cuDNN gives wrong results" + end,
                                             "engine 78 2=1 of cuDNN gives other bits every time" + end,
                                             "engine 3 of cuDNN gives wrong results" + end}));
}

TEST_F(News, ThatConvolutionsAreTakenApartIsToldOnce) {
  TrialNews news({});
  news.composed("forward n8 residual", 8, 1.25f);
  news.composed("forward n16 residual", 9, 2);
  EXPECT_EQ(said_, (std::vector<std::string>{
                       "cuDNN's best engine for forward n8 residual takes 8.000 ms, the convolution and a "
                       "pass 1.250 ms: taken in two passes, as others like it"}));
}

}  // namespace
}  // namespace dcl::cuda
