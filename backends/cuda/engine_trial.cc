#include "cuda/engine_trial.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/log.h"
#include "cuda/elementwise.h"
#include "cuda/sample_operands.h"

namespace dcl::cuda {
namespace {

constexpr float kHopeless = 1.3f;  // times the shortest, after a single run
constexpr float kLoading = 20;     // milliseconds that a first run may take longer than others
constexpr float kLong = 2;         // milliseconds: fewer runs suffice
constexpr int kRepeatsOfLong = 3;
constexpr float kNever = std::numeric_limits<float>::infinity();

constexpr const char *kWrong = "wrong results", *kVarying = "other bits every time";

/// Engines for one pattern on the same operands, whole numbers at first.
class Trial {
 public:
  Trial(Context& context, const ConvPattern& pattern, std::span<const Engine> engines, TrialReport& report)
      : context_(context),
        pattern_(pattern),
        engines_(engines),
        report_(report),
        samples_(context, pattern),
        result_(samples_.result()) {
    earlier_ = block(result_.bytes());
    if (pattern.add || pattern.residual) before_ = block(result_.bytes());
    size_t workspace_bytes = 0;
    for (const Engine& engine : engines) workspace_bytes = std::max(workspace_bytes, engine.plan->workspace_bytes());
    workspace_ = block(workspace_bytes);
    fill_operands();
  }

  void use(Operands numbers) {
    if (std::exchange(numbers_, numbers) != numbers) fill_operands();
  }

  float time(size_t engine, int repeats, float most = kNever) {
    return median_time(
        context_.stream(), report_.failure, [&] { run(engine); }, repeats, most);
  }

  /// Whether results are what the pattern's definition says. What an engine leaves out is seen, too.
  bool is_right(size_t engine) {
    run_afresh(engine);
    ConvOperands seen = samples_.operands();
    if (pattern_.residual) seen.residual = before_;
    return count_wrong(context_, pattern_, seen, before_, numbers_) == 0;
  }

  void reject(size_t engine, const char* why) {
    report_.rejected.push_back({engine, why});
    report_.failure = "engine " + engines_[engine].name + " of cuDNN gives " + why + " for " + key_text(pattern_);
  }

  /// Whether the same operands give the same bits.
  bool is_repeatable(size_t engine) {
    run_afresh(engine);
    copy_on_device(earlier_, result_.data, result_.bytes(), context_.stream());
    run_afresh(engine);
    return count_differing(context_, {earlier_, result_.shape, result_.dtype}, result_) == 0;
  }

 private:
  void fill_operands() {
    samples_.fill(numbers_);
    if (before_) copy_on_device(before_, result_.data, result_.bytes(), context_.stream());
  }
  /// On a result that holds what an engine adds to, or nothing that could pass for a result.
  void run_afresh(size_t engine) {
    fill(context_, result_, std::numeric_limits<float>::quiet_NaN());
    if (before_) copy_on_device(result_.data, before_, result_.bytes(), context_.stream());
    run(engine);
  }
  void run(size_t engine) {
    report_.last = engine;
    engines_[engine].plan->run(samples_.operands(), workspace_);
  }

  void* block(size_t bytes) { return blocks_.emplace_back(bytes, context_.stream()).data(); }

  Context& context_;
  const ConvPattern& pattern_;
  std::span<const Engine> engines_;
  TrialReport& report_;
  SampleOperands samples_;
  TensorRef result_;
  std::vector<DeviceBlock> blocks_;
  Operands numbers_ = Operands::integers;
  void *workspace_ = nullptr, *before_ = nullptr, *earlier_ = nullptr;
};

/// The trial, when memory for it can be had.
std::optional<Trial> trial_of(Context& context, const ConvPattern& pattern, std::span<const Engine> engines,
                              TrialReport& report) {
  try {
    return std::optional<Trial>(std::in_place, context, pattern, engines, report);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    log(LogLevel::warning, "too little free memory to try convolutions: the first engine is taken untried");
    return {};
  }
}

}  // namespace

std::optional<EngineVerdict> fastest_engine(Context& context, const ConvPattern& pattern,
                                            std::span<const Engine> engines, TrialReport& report) {
  std::optional<Trial> trial = trial_of(context, pattern, engines, report);
  if (!trial) return EngineVerdict{0, false};
  std::vector<float> once(engines.size());  // never: it is out
  std::vector<bool> judged(engines.size());
  const auto judge = [&](size_t i) {
    if (judged[i]) return;
    judged[i] = true;
    if (trial->is_right(i)) return;
    trial->reject(i, kWrong);
    once[i] = kNever;
  };
  float hope = kNever;
  for (size_t i = 0; i < engines.size(); ++i) {
    once[i] = trial->time(i, 1, hope + kLoading);
    if (once[i] <= hope && std::isfinite(once[i])) judge(i);
    hope = std::min(hope, kHopeless * once[i]);
  }
  while (true) {
    const float least = *std::min_element(once.begin(), once.end());
    if (!std::isfinite(least)) return {};
    const auto hopeful = [&](size_t i) { return once[i] <= kHopeless * least; };
    trial->use(Operands::integers);
    for (size_t i = 0; i < engines.size(); ++i)
      if (hopeful(i)) judge(i);
    trial->use(Operands::fractions);
    std::optional<size_t> best;
    float shortest = kNever;
    for (size_t i = 0; i < engines.size(); ++i) {
      if (!hopeful(i)) continue;
      const float time = trial->time(i, once[i] > kLong ? kRepeatsOfLong : kRepeats);
      if (time < shortest * kClearlyFaster) best = i, shortest = time;
      if (!std::isfinite(time)) once[i] = kNever;
    }
    if (!best) continue;
    const bool right = trial->is_right(*best);
    if (right && trial->is_repeatable(*best)) return EngineVerdict{*best, true};
    trial->reject(*best, right ? kVarying : kWrong);
    once[*best] = kNever;
  }
}

std::optional<EngineVerdict> first_engine(Context& context, const ConvPattern& pattern, std::span<const Engine> engines,
                                          TrialReport& report) {
  std::optional<Trial> trial = trial_of(context, pattern, engines, report);
  if (!trial) return EngineVerdict{0, false};
  for (size_t i = 0; i < engines.size(); ++i) {
    if (!std::isfinite(trial->time(i, 1))) continue;
    if (trial->is_right(i)) return EngineVerdict{i, true};
    trial->reject(i, kWrong);
  }
  return {};
}

}  // namespace dcl::cuda
