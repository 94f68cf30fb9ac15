#include "objective/objective.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/number.h"

namespace dcl {
namespace {

template <class Value>
struct Choice {
  Value value;
  std::string_view name;
};
constexpr std::array<Choice<ObjectiveKind>, 6> kKinds{{{ObjectiveKind::biased, "biased"},
                                                       {ObjectiveKind::debiased, "debiased"},
                                                       {ObjectiveKind::hard, "hard"},
                                                       {ObjectiveKind::decoupled, "decoupled"},
                                                       {ObjectiveKind::unbiased, "unbiased"},
                                                       {ObjectiveKind::supcon, "supcon"}}};
constexpr std::array<Choice<NegativeScale>, 2> kScales{{{NegativeScale::mean, "mean"}, {NegativeScale::sum, "sum"}}};
constexpr std::array<Choice<BetaAnneal>, 2> kAnneals{{{BetaAnneal::none, "none"}, {BetaAnneal::down, "down"}}};
constexpr int64_t kAnnealedBetas = 9;

template <class Choices>
auto parse(const char* what, std::string_view name, const Choices& choices) {
  std::string known;
  for (const auto& choice : choices) {
    if (choice.name == name) return choice.value;
    known += (known.empty() ? "" : ", ") + std::string(choice.name);
  }
  fail(ErrorKind::usage, std::string(what) + " '" + std::string(name) + "' is unknown, expected one of: " + known);
}

template <class Value, class Choices>
std::string_view name_in(Value value, const Choices& choices) {
  for (const auto& choice : choices)
    if (choice.value == value) return choice.name;
  return "?";
}

void require(bool holds, const char* setting, double value, const std::string& expected) {
  if (!holds) fail(ErrorKind::usage, std::string(setting) + " is " + number_text(value) + ", expected " + expected);
}

}  // namespace

bool debiases(ObjectiveKind kind) { return kind == ObjectiveKind::debiased || kind == ObjectiveKind::hard; }

std::string_view name_of(ObjectiveKind kind) { return name_in(kind, kKinds); }
std::string_view name_of(NegativeScale scale) { return name_in(scale, kScales); }
std::string_view name_of(BetaAnneal anneal) { return name_in(anneal, kAnneals); }
std::vector<std::string> objective_names() {
  std::vector<std::string> names;
  for (const auto& kind : kKinds) names.emplace_back(kind.name);
  return names;
}
ObjectiveKind parse_objective_kind(std::string_view name) { return parse("objective", name, kKinds); }
NegativeScale parse_negative_scale(std::string_view name) { return parse("negative scale", name, kScales); }
BetaAnneal parse_beta_anneal(std::string_view name) { return parse("beta annealing", name, kAnneals); }

std::optional<double> parse_tau_plus(const std::string& text) {
  if (text == "auto") return std::nullopt;
  if (const auto value = parse_number<double>(without_plus(text))) return value;
  fail(ErrorKind::usage, "tau_plus is '" + text + "', expected a number in [0, 1) or auto");
}

void check(const ObjectiveSettings& s) {
  require(s.tau_plus >= 0 && s.tau_plus < 1, "tau_plus", s.tau_plus, "a value in [0, 1)");
  require(std::isfinite(s.beta) && s.beta >= 0, "beta", s.beta, "a value of 0 or more");
  const double sharpness = s.kind == ObjectiveKind::hard ? 1 + s.beta : 1;
  const double smallest = sharpness / kMaxObjectiveExponent;
  require(std::isfinite(s.temperature) && s.temperature >= smallest, "temperature", s.temperature,
          "a value of " + rounded_text(smallest, 4) + " or more" + (sharpness > 1 ? " at this beta" : ""));
}

ObjectiveDesc objective_desc(const ObjectiveSettings& s, int64_t batch, int64_t views, int64_t dim, DType dtype) {
  check(s);
  ObjectiveDesc d;
  d.kind = s.kind, d.scale = s.scale;
  d.temperature = s.temperature, d.tau_plus = s.tau_plus, d.beta = s.beta;
  d.batch = batch, d.views = views, d.dim = dim, d.dtype = dtype;
  return d;
}

double beta_in_epoch(const ObjectiveSettings& s, int64_t epoch, int64_t epochs) {
  if (s.kind != ObjectiveKind::hard || s.beta_anneal == BetaAnneal::none) return s.beta;
  const int64_t ninths = epoch / std::max<int64_t>(1, epochs / kAnnealedBetas);
  const int64_t left = kAnnealedBetas - std::clamp<int64_t>(ninths, 1, kAnnealedBetas);
  return s.beta * static_cast<double>(left) / (kAnnealedBetas - 1);
}

double tau_plus_limit(double temperature) { return 1 / (1 + std::exp(1 / temperature)); }

std::string tau_plus_warning(const ObjectiveSettings& s) {
  const double limit = tau_plus_limit(s.temperature);
  if (!debiases(s.kind) || s.tau_plus < limit) return {};
  return "tau_plus " + number_text(s.tau_plus) + " is not below " + rounded_text(limit, 4) +
         " = 1/(1+e^(1/t)), its limit at temperature " + number_text(s.temperature) +
         ": anchors with aligned positives are clamped and get no gradient from negatives; lower tau_plus or raise the "
         "temperature, and watch the clamp fraction";
}

ObjectiveReport report_of(const double* result) {
  return {result[kLoss], result[kClampFraction], result[kMeanPositive], result[kMeanNegative]};
}

}  // namespace dcl
