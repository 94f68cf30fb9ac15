// Settings of the objective, the limit of tau_plus, and the row arithmetic at its floor.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "math/contrastive.h"
#include "objective/objective.h"

namespace dcl {
namespace {

template <class Action>
std::string usage_error(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "no error";
}

TEST(ObjectiveSettingsTest, NamesGoBothWaysAndUnknownOnesListTheChoices) {
  for (const ObjectiveKind kind : {ObjectiveKind::biased, ObjectiveKind::debiased, ObjectiveKind::hard,
                                   ObjectiveKind::decoupled, ObjectiveKind::unbiased, ObjectiveKind::supcon})
    EXPECT_EQ(parse_objective_kind(name_of(kind)), kind);
  for (const NegativeScale scale : {NegativeScale::mean, NegativeScale::sum})
    EXPECT_EQ(parse_negative_scale(name_of(scale)), scale);
  for (const BetaAnneal anneal : {BetaAnneal::none, BetaAnneal::down})
    EXPECT_EQ(parse_beta_anneal(name_of(anneal)), anneal);
  EXPECT_EQ(usage_error([] { parse_objective_kind("easy"); }),
            "objective 'easy' is unknown, expected one of: biased, debiased, hard, decoupled, unbiased, supcon");
  EXPECT_EQ(usage_error([] { parse_negative_scale(""); }), "negative scale '' is unknown, expected one of: mean, sum");
}

TEST(ObjectiveSettingsTest, OutOfRangeValuesAreNamed) {
  ObjectiveSettings s;
  check(s);
  for (const double tau : {-0.1, 1.0, 2.0, static_cast<double>(NAN)}) {
    s = {}, s.tau_plus = tau;
    EXPECT_NE(usage_error([&] { check(s); }).find("tau_plus is "), std::string::npos) << tau;
  }
  for (const double t : {0.0, -1.0, 0.001, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    s = {}, s.temperature = t;
    EXPECT_NE(usage_error([&] { check(s); }).find("temperature is "), std::string::npos) << t;
  }
  s = {}, s.kind = ObjectiveKind::hard, s.temperature = 0.01;
  check(s);
  s.beta = 6;
  EXPECT_EQ(usage_error([&] { check(s); }), "temperature is 0.01, expected a value of 0.01167 or more at this beta");
  s.beta = -1;
  EXPECT_EQ(usage_error([&] { check(s); }), "beta is -1, expected a value of 0 or more");
  for (const ObjectiveKind kind : {ObjectiveKind::hard, ObjectiveKind::debiased}) {
    s = {}, s.kind = kind, s.beta = static_cast<double>(INFINITY);
    EXPECT_EQ(usage_error([&] { check(s); }), "beta is inf, expected a value of 0 or more");
  }
}

TEST(ObjectiveSettingsTest, TheDescriptorCarriesEverySetting) {
  const ObjectiveSettings s{ObjectiveKind::hard, NegativeScale::sum, 0.3, 0.05, 2};
  const ObjectiveDesc d = objective_desc(s, 64, 3, 128);
  EXPECT_EQ(d, (ObjectiveDesc{ObjectiveKind::hard, NegativeScale::sum, 64, 3, 128, 0.3, 0.05, 2, DType::f32}));
}

/// numpy.linspace(2, 0, 9), of which the published loop takes the next after every epoch that 400 // 9 divides.
TEST(ObjectiveSettingsTest, BetaFallsToZeroInNineSteps) {
  const double published[] = {2, 2, 1.75, 1.5, 1.25, 1, 0.75, 0.5, 0.25, 0};
  ObjectiveSettings s;
  s.kind = ObjectiveKind::hard, s.beta = 2, s.beta_anneal = BetaAnneal::down;
  for (int64_t epoch = 0; epoch < 400; ++epoch) EXPECT_EQ(beta_in_epoch(s, epoch, 400), published[epoch / 44]) << epoch;
  for (int64_t epoch = 0; epoch < 17; ++epoch)
    EXPECT_EQ(beta_in_epoch(s, epoch, 17), published[std::min<int64_t>(epoch, 9)]) << "beyond the ninth " << epoch;
  for (int64_t epoch = 0; epoch < 5; ++epoch)
    EXPECT_EQ(beta_in_epoch(s, epoch, 5), published[epoch]) << "fewer than nine " << epoch;
  s.beta_anneal = BetaAnneal::none;
  EXPECT_EQ(beta_in_epoch(s, 399, 400), 2);
  s.beta_anneal = BetaAnneal::down, s.kind = ObjectiveKind::debiased;
  EXPECT_EQ(beta_in_epoch(s, 399, 400), 2);
}

TEST(ObjectiveSettingsTest, TauPlusIsANumberOrThatOfTheData) {
  EXPECT_EQ(parse_tau_plus("0.1"), 0.1);
  EXPECT_EQ(parse_tau_plus("+5e-2"), 0.05);
  EXPECT_EQ(parse_tau_plus("auto"), std::nullopt);
  for (const char* wrong : {"", "+", "0.1x", " 0.1", "0,1", "Auto", "++1"})
    EXPECT_THROW(parse_tau_plus(wrong), Error) << wrong;
}

TEST(ObjectiveSettingsTest, TheLimitOfTauPlusIsThePublishedTable) {
  EXPECT_NEAR(tau_plus_limit(0.5), 0.119, 5e-4);
  EXPECT_NEAR(tau_plus_limit(1.0), 0.269, 5e-4);
  EXPECT_NEAR(tau_plus_limit(0.2), 0.0067, 5e-5);
  EXPECT_NEAR(tau_plus_limit(0.07), 6.2e-7, 5e-9);
  ObjectiveSettings s;
  EXPECT_EQ(tau_plus_warning(s), "");
  s.temperature = 0.2;
  EXPECT_NE(
      tau_plus_warning(s).find("tau_plus 0.1 is not below 0.006693 = 1/(1+e^(1/t)), its limit at temperature 0.2"),
      std::string::npos);
  EXPECT_EQ(tau_plus_warning(s).find('\n'), std::string::npos);
  s.kind = ObjectiveKind::hard;
  EXPECT_NE(tau_plus_warning(s), "");
  s.kind = ObjectiveKind::biased;
  EXPECT_EQ(tau_plus_warning(s), "");
  s = {}, s.tau_plus = tau_plus_limit(0.5);
  EXPECT_NE(tau_plus_warning(s), "");
}

TEST(ObjectiveSettingsTest, TheLimitIsWhereAlignedPositivesReachTheFloor) {
  for (const double t : {0.2, 0.5, 1.0}) {
    ContrastiveSettings<double> c;
    c.clamp = true, c.negatives = 100, c.inverse_temperature = 1 / t;
    ContrastiveSums<double> sums;
    sums.pair = sums.positives = std::exp(1 / t), sums.weighted = 100;  // negatives average e^0
    const auto set = [&](double tau_plus) { c.debias = tau_plus * c.negatives, c.tau_minus = 1 - tau_plus; };
    set(tau_plus_limit(t) * (1 - 1e-9));
    EXPECT_FALSE(contrastive_row(c, sums).at_floor) << t;
    set(tau_plus_limit(t) * (1 + 1e-9));
    EXPECT_TRUE(contrastive_row(c, sums).at_floor) << t;
  }
}

TEST(ContrastiveRowTest, ExactlyAtTheFloorTheGradientPassesAndBelowItDoesNot) {
  ContrastiveSettings<double> c;
  c.clamp = true, c.negatives = 10, c.inverse_temperature = 2, c.anchor_weight = 0.5;
  ContrastiveSums<double> sums;
  sums.pair = sums.positives = 3;
  sums.weighted = 10 * std::exp(-2.0);  // tau_plus 0: the raw value is the floor itself
  const ContrastiveRow<double> at = contrastive_row(c, sums);
  EXPECT_TRUE(at.at_floor);
  EXPECT_DOUBLE_EQ(at.negative, 0.5 * 2 / (3 + sums.weighted));
  sums.weighted *= 1 - 1e-15;
  const ContrastiveRow<double> below = contrastive_row(c, sums);
  EXPECT_TRUE(below.at_floor);
  EXPECT_EQ(below.negative, 0);
  EXPECT_DOUBLE_EQ(below.loss, at.loss);
  EXPECT_DOUBLE_EQ(below.pair, at.pair);
}

TEST(ContrastiveRowTest, SmallLossesKeepTheirDigits) {
  ContrastiveSettings<double> c;
  ContrastiveSums<double> sums;
  sums.pair = sums.positives = 1e12, sums.weighted = 1;
  const ContrastiveRow<double> row = contrastive_row(c, sums);
  EXPECT_DOUBLE_EQ(row.loss, 1e-12 - 0.5e-24);
  EXPECT_DOUBLE_EQ(row.pair, -1 / (1e12 + 1));
}

}  // namespace
}  // namespace dcl
