// What a user chooses about the contrastive objective, checked and turned into the op's descriptor; and what a step
// reports. The arithmetic is in math/contrastive.h, the op in core/backend.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ops.h"

namespace dcl {

enum class BetaAnneal : uint8_t { none, down };

/// Defaults are those of the published code (main.py).
struct ObjectiveSettings {
  ObjectiveKind kind = ObjectiveKind::debiased;
  NegativeScale scale = NegativeScale::mean;  ///< of `unbiased`
  double temperature = 0.5;
  double tau_plus = 0.1;  ///< of `debiased` and `hard`
  double beta = 1.0;      ///< of `hard`; 0 is `debiased`
  BetaAnneal beta_anneal = BetaAnneal::none;
  bool operator==(const ObjectiveSettings&) const = default;
};

/// "biased", "debiased", "hard", "decoupled", "unbiased", "supcon"; "mean", "sum"; "none", "down". Parsing throws
/// Error{usage} listing the choices.
std::string_view name_of(ObjectiveKind kind);
std::string_view name_of(NegativeScale scale);
std::string_view name_of(BetaAnneal anneal);
/// All of them.
std::vector<std::string> objective_names();
ObjectiveKind parse_objective_kind(std::string_view name);
NegativeScale parse_negative_scale(std::string_view name);
BetaAnneal parse_beta_anneal(std::string_view name);

/// The number of "0.1"; nothing of "auto", which stands for that of the data. Error{usage} for another text.
std::optional<double> parse_tau_plus(const std::string& text);

/// Whether tau_plus counts.
bool debiases(ObjectiveKind kind);

/// Throws Error{usage} naming the setting, its value and its range.
void check(const ObjectiveSettings& settings);

/// Checked; batch is the number of images of a step.
ObjectiveDesc objective_desc(const ObjectiveSettings& settings, int64_t batch, int64_t views, int64_t dim,
                             DType dtype = DType::f32);

/// beta in epoch `epoch` (from 0) of `epochs`. Annealed `down` as the code of Robinson et al. (ICLR 2021) does it: with
/// every ninth of the epochs that is over, the next of nine values from beta to 0, which are equally far apart. The
/// first of them is beta itself, so that it stays for two ninths.
double beta_in_epoch(const ObjectiveSettings& settings, int64_t epoch, int64_t epochs);

/// 1 / (1 + e^(1/t)): from this tau_plus on, an aligned positive puts the negative term of its anchor on the floor as
/// soon as negatives average e^s = 1, and the anchor's negatives lose their gradient.
double tau_plus_limit(double temperature);
/// One line for the log when tau_plus is at or above that limit; empty otherwise.
std::string tau_plus_warning(const ObjectiveSettings& settings);

/// The op's result on the host.
struct ObjectiveReport {
  double loss = 0;
  double clamp_fraction = 0;                    ///< share of anchors whose negative term is on its floor
  double mean_positive = 0, mean_negative = 0;  ///< cosine similarities
};

/// result: the op's result on the host, [kObjectiveResults].
ObjectiveReport report_of(const double* result);

}  // namespace dcl
