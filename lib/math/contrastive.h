// The contrastive objective of one anchor, from sums over its row to loss and gradient weights: the one implementation
// behind biased, debiased (M >= 1), hard, unbiased and decoupled, on every backend (Chuang et al. 2020, eq. 8; Robinson
// et al. 2021 for hard; Yeh et al. 2022 for decoupled).
//
// With x = s / t for a cosine s and B images, N = 2B - 2:
//   S  = sum of e^x over the negatives                                  (biased, debiased, decoupled, unbiased by sum)
//      = N sum(e^x) / count over the true negatives                     (unbiased by mean)
//      = N sum(e^((1 + beta) x)) / sum(e^(beta x))                      (hard)
//   Ng = max((S - tau N P) / (1 - tau), N e^(-1/t)),  P = mean of e^x over the M positives;  S itself without debiasing
//   L  = -log(p / (p + Ng)) = log1p(Ng / p),  p = e^x of the pair;  decoupled: -log(p / Ng)
// At the floor the gradient still passes (as torch.clamp), below it does not.
#pragma once

#include <cmath>

#include "math/host_device.h"

namespace dcl {

/// How the sum over negatives is scaled.
enum class NegativeRule : unsigned char { plain, importance, true_mean };

template <class T>
struct ContrastiveSettings {
  NegativeRule rule = NegativeRule::plain;
  bool clamp = false;      ///< apply the floor
  bool decoupled = false;  ///< the pair is not in the denominator; only with negatives
  T debias = 0;            ///< tau_plus N / M, of a positive's exponential; 0 without debiasing
  T tau_minus = 1;         ///< 1 - tau_plus, which f32 could not tell from 0 where tau_plus is nearly 1
  T beta = 0;              ///< with `importance`
  T negatives = 0;         ///< N
  T inverse_temperature = 1;
  T anchor_weight = 1;  ///< of one anchor in the mean: 1 / 2B
};

/// Sums over the row of one anchor.
template <class T>
struct ContrastiveSums {
  T pair = 1;        ///< p
  T positives = 1;   ///< sum of e^x over the M positives, the pair among them
  T weighted = 0;    ///< sum over the negatives of e^x, or of e^((1 + beta) x) with `importance`
  T importance = 0;  ///< sum of e^(beta x), with `importance`
  T count = 0;       ///< number of true negatives, with `true_mean`
};

/// What the row contributes: its loss, and dLoss/ds of the mean over anchors:
///   pair: pair;   other positive v: positive * e^x;   negative: negative * e^((1 + beta) x) + importance * e^(beta x).
template <class T>
struct ContrastiveRow {
  T loss = 0;  ///< of this anchor, not yet weighted
  bool at_floor = false;
  T pair = 0, positive = 0, negative = 0, importance = 0;
};

template <class T>
DCL_HD ContrastiveRow<T> contrastive_row(const ContrastiveSettings<T>& c, const ContrastiveSums<T>& sums) {
  using std::exp;
  using std::log;
  using std::log1p;
  // S = scale * weighted. An anchor without negatives has the loss of its positive alone, 0, and no gradient.
  T scale = 1;
  if (c.rule == NegativeRule::importance) scale = c.negatives > 0 ? c.negatives / sums.importance : T(0);
  if (c.rule == NegativeRule::true_mean) scale = sums.count > 0 ? c.negatives / sums.count : T(0);
  const T raw = (scale * sums.weighted - c.debias * sums.positives) / c.tau_minus;
  const T floor = c.negatives * exp(-c.inverse_temperature);
  const bool below = c.clamp && raw < floor;
  const T negative_term = below ? floor : raw;

  ContrastiveRow<T> row;
  row.at_floor = c.clamp && raw <= floor;
  const T ratio = negative_term / sums.pair;
  row.loss = c.decoupled ? log(ratio) : log1p(ratio);
  const T denominator = c.decoupled ? negative_term : sums.pair + negative_term;
  const T weight = c.anchor_weight * c.inverse_temperature;
  const T per_sum = below ? T(0) : weight / (c.tau_minus * denominator);
  row.positive = -per_sum * c.debias;
  // -1 + p / D, without its cancellation.
  row.pair = -weight * negative_term / denominator + row.positive * sums.pair;
  row.negative = per_sum * scale;
  if (c.rule == NegativeRule::importance) {
    row.importance = c.negatives > 0 ? -row.negative * c.beta * sums.weighted / sums.importance : T(0);
    row.negative *= 1 + c.beta;
  }
  return row;
}

}  // namespace dcl
