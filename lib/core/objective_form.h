// How a backend computes the objective a descriptor asks for: the settings of math/contrastive.h, and the type.
#pragma once

#include "core/ops.h"
#include "math/contrastive.h"

namespace dcl {

/// Whether the importance weights of `hard` are there: beta 0 is `debiased`.
inline bool has_importance(const ObjectiveDesc& d) { return d.kind == ObjectiveKind::hard && d.beta > 0; }

inline ContrastiveSettings<double> contrastive_settings(const ObjectiveDesc& d) {
  ContrastiveSettings<double> c;
  const bool debias = d.kind == ObjectiveKind::debiased || d.kind == ObjectiveKind::hard;
  if (has_importance(d)) c.rule = NegativeRule::importance;
  if (d.kind == ObjectiveKind::unbiased && d.scale == NegativeScale::mean) c.rule = NegativeRule::true_mean;
  c.clamp = debias;
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

}  // namespace dcl
