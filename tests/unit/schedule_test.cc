#include "train/schedule.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace dcl {
namespace {

TEST(Schedule, ConstantIsBaseAtEveryStep) {
  const Schedule schedule{.kind = ScheduleKind::constant, .base = 0.001};
  for (const int64_t step : {0, 1, 1000, 1000000}) EXPECT_EQ(schedule.at(step), 0.001);
}

TEST(Schedule, WarmupRisesLinearlyToBase) {
  const Schedule schedule{.kind = ScheduleKind::constant, .base = 0.8, .warmup_steps = 4};
  EXPECT_DOUBLE_EQ(schedule.at(0), 0.2);
  EXPECT_DOUBLE_EQ(schedule.at(1), 0.4);
  EXPECT_DOUBLE_EQ(schedule.at(3), 0.8);
  EXPECT_DOUBLE_EQ(schedule.at(4), 0.8);
}

TEST(Schedule, CosineStartsAtBaseHalvesMidwayEndsAtFinal) {
  const Schedule schedule{
      .kind = ScheduleKind::cosine, .base = 1.0, .warmup_steps = 10, .total_steps = 111, .final = 0.1};
  EXPECT_DOUBLE_EQ(schedule.at(9), 1.0);
  EXPECT_DOUBLE_EQ(schedule.at(10), 1.0);
  EXPECT_NEAR(schedule.at(60), 0.55, 1e-15);
  EXPECT_DOUBLE_EQ(schedule.at(110), 0.1);
  EXPECT_DOUBLE_EQ(schedule.at(5000), 0.1) << "past the end it stays";
  for (int64_t step = 11; step < 111; ++step) EXPECT_LT(schedule.at(step), schedule.at(step - 1));
}

TEST(Schedule, OneStepRunDoesNotDivideByZero) {
  const Schedule schedule{.kind = ScheduleKind::cosine, .base = 1.0, .total_steps = 1};
  EXPECT_DOUBLE_EQ(schedule.at(0), 1.0);
}

TEST(Schedule, UnknownNameIsAUsageError) {
  EXPECT_EQ(schedule_kind_of("cosine"), ScheduleKind::cosine);
  try {
    schedule_kind_of("linear");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
  }
}

}  // namespace
}  // namespace dcl
