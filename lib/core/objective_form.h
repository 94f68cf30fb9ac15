// How a backend computes the objective a descriptor asks for: the settings of math/contrastive.h, and the type.
#pragma once

#include "core/ops.h"
#include "math/contrastive.h"
#include "math/host_device.h"

namespace dcl {

/// Whether the importance weights of `hard` are there: beta 0 is `debiased`.
inline bool has_importance(const ObjectiveDesc& d) { return d.kind == ObjectiveKind::hard && d.beta > 0; }

inline ContrastiveSettings<double> contrastive_settings(const ObjectiveDesc& d) {
  ContrastiveSettings<double> c;
  const bool debias = d.kind == ObjectiveKind::debiased || d.kind == ObjectiveKind::hard;
  if (has_importance(d)) c.rule = NegativeRule::importance;
  if (d.kind == ObjectiveKind::unbiased && d.scale == NegativeScale::mean) c.rule = NegativeRule::true_mean;
  c.clamp = debias;
  c.decoupled = d.kind == ObjectiveKind::decoupled && d.batch > 1;  // of nothing there is no logarithm
  const double tau_plus = debias ? d.tau_plus : 0;
  c.beta = has_importance(d) ? d.beta : 0;
  c.negatives = static_cast<double>(2 * d.batch - 2);
  c.debias = tau_plus * c.negatives / static_cast<double>(d.views - 1);
  c.tau_minus = 1 - tau_plus;
  c.inverse_temperature = 1 / d.temperature;
  c.anchor_weight = 1 / static_cast<double>(2 * d.batch);
  return c;
}

template <class T>
ContrastiveSettings<T> contrastive_settings_as(const ContrastiveSettings<double>& c) {
  const auto as = [](double x) { return static_cast<T>(x); };
  return {c.rule,
          c.clamp,
          c.decoupled,
          as(c.debias),
          as(c.tau_minus),
          as(c.beta),
          as(c.negatives),
          as(c.inverse_temperature),
          as(c.anchor_weight)};
}

/// f32 where it keeps its digits. Rounding a cosine to f32 moves e^(s/t) by up to 2^-24 / t relative, and debiasing may
/// cancel most of the sum: above this exponent everything is computed in double, which also leaves no question of
/// range.
inline bool computes_in_double(const ObjectiveDesc& d) {
  constexpr double kLargestF32Exponent = 8;
  const double exponent = (has_importance(d) ? 1 + d.beta : 1) / d.temperature;
  return d.dtype == DType::f64 || exponent > kLargestF32Exponent;
}

/// What `supcon` has beside `biased`. Both have the same denominators, all anchors but the row's own, so that
///   L_supcon = L_biased + mean over the anchors of (x of the pair - mean of x over the positives),
/// where the positives are all other anchors of the class. The difference is linear in the cosines: sums over classes
/// give it in O(B D). Sums over anchors:
struct SupervisedSums {
  double pair = 0;              ///< cosines of pairs
  double positive = 0;          ///< mean cosines of an anchor and its positives
  double positive_cosines = 0;  ///< cosines of all anchors and positives
  double positives = 0;         ///< their number

  DCL_HD void add(const SupervisedSums& more) {
    pair += more.pair, positive += more.positive;
    positive_cosines += more.positive_cosines, positives += more.positives;
  }
};

/// From the result of `biased` to that of `supcon`.
DCL_HD void add_supervised(const SupervisedSums& sums, const ContrastiveSettings<double>& biased, double* result) {
  const double anchors = biased.negatives + 2;  // exact, unlike what the weight says
  result[kLoss] += (sums.pair - sums.positive) * biased.inverse_temperature * biased.anchor_weight;
  result[kMeanPositive] = sums.positive * biased.anchor_weight;
  const double negatives = anchors * (biased.negatives + 1) - sums.positives;
  const double of_biased = result[kMeanNegative] * anchors * biased.negatives;  // with those of the own class
  result[kMeanNegative] = negatives > 0 ? (of_biased - (sums.positive_cosines - sums.pair)) / negatives : 0;
}

/// dLoss/ds of the mean over anchors, for each of the two anchors of a pair: what the pair loses and each of an
/// anchor's positives gains.
DCL_HD double supervised_pull(const ContrastiveSettings<double>& biased) {
  return 2 * biased.anchor_weight * biased.inverse_temperature;
}

}  // namespace dcl
