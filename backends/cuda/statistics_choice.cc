#include "cuda/statistics_choice.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/log.h"
#include "cuda/batch_norm.h"
#include "cuda/conv_statistics.h"
#include "cuda/sample_operands.h"

namespace dcl::cuda {
namespace {

constexpr int kRepetitions = 4;

/// Both ways to compute y and its statistics, on the same random operands.
class Contest {
 public:
  Contest(Context& context, const ConvDesc& conv, int64_t groups, ConvPlan& fused, ConvPlan& separate)
      : context_(context),
        conv_(conv),
        norm_{.rows = conv.n * conv.out_h() * conv.out_w(), .channels = conv.k, .groups = groups, .dtype = conv.dtype},
        fused_(fused),
        separate_(separate),
        samples_(context, pattern_of(conv, ConvPass::forward, Accum::overwrite, F32Math::exact)),
        sums_(sums_bytes(norm_), context.stream()),
        saved_(static_cast<size_t>(norm_.saved_shape().elements()) * sizeof(float), context.stream()),
        workspace_(std::max(fused.workspace_bytes(), separate.workspace_bytes()), context.stream()) {
    samples_.fill(Operands::fractions);
  }

  void run_fused() {
    run_with_statistics(context_, fused_, conv_, norm_, operands(), workspace_.data(), saved(), {}, {});
  }
  void run_separate() {
    separate_.run(operands(), workspace_.data());
    batch_norm_statistics(context_, norm_, {samples_.operands().y, norm_.x_shape(), conv_.dtype}, saved(), {}, {});
  }
  /// Means, then inverse deviations.
  std::vector<float> statistics() const {
    std::vector<float> values(static_cast<size_t>(norm_.saved_shape().elements()));
    copy_to_host(values.data(), saved_.data(), values.size() * sizeof(float), context_.stream());
    return values;
  }

 private:
  ConvOperands operands() const {
    ConvOperands all = samples_.operands();
    all.sum = static_cast<float*>(sums_.data());
    return all;
  }
  TensorRef saved() const { return {saved_.data(), norm_.saved_shape(), DType::f32}; }

  Context& context_;
  ConvDesc conv_;
  BatchNormDesc norm_;
  ConvPlan &fused_, &separate_;
  SampleOperands samples_;
  DeviceBlock sums_, saved_, workspace_;
};

/// Sums of y as it is stored, and of y before it is rounded to bf16, differ by less than these.
bool agree(const std::vector<float>& a, const std::vector<float>& b) {
  const size_t half = a.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    const float inv_std = b[half + i];
    if (!(std::abs(a[i] - b[i]) * inv_std <= 0x1p-7f) || !(std::abs(a[half + i] / inv_std - 1) <= 0x1p-7f))
      return false;
  }
  return true;
}

}  // namespace

std::optional<bool> statistics_pay(Context& context, const ConvDesc& conv, int64_t groups, ConvPlan& fused,
                                   ConvPlan& separate) {
  try {
    Contest contest(context, conv, groups, fused, separate);
    std::string failure;
    const float apart = median_time(context.stream(), failure, [&] { contest.run_separate(); });
    const std::vector<float> expected = contest.statistics();
    const float together = median_time(context.stream(), failure, [&] { contest.run_fused(); });
    if (!(together < apart * kClearlyFaster)) return false;
    const std::vector<float> first = contest.statistics();
    for (int i = 0; i < kRepetitions; ++i) {
      contest.run_fused();
      if (contest.statistics() != first) return false;
    }
    return agree(first, expected);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    return {};
  }
}

}  // namespace dcl::cuda
