// Batch norm: statistics, running statistics, apply and backward; groups, ReLU, residual, both dtypes, all allowed
// aliases.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "support/backends.h"
#include "support/op_run.h"
#include "support/oracle_batch_norm.h"

namespace dcl::test {
namespace {

struct Extents {
  int64_t rows_per_group, channels, groups;
};
// Sums over a power of two of integers stay exact, mean and all.
constexpr Extents kExtents[] = {{2, 1, 1},   {4, 3, 2},     {64, 64, 1},   {128, 256, 2}, {16, 17, 2},
                                {49, 33, 2}, {1030, 16, 3}, {2048, 64, 2}, {32, 2048, 2}, {1, 5, 1},
                                {7, 130, 1}, {1025, 8, 1},  {6, 24, 6}};

bool power_of_two(int64_t n) { return (n & (n - 1)) == 0; }

class BatchNorm : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());

  /// Every extent and dtype, every combination of relu and residual.
  template <class Body>
  void each_desc(Body&& body) {
    constexpr int64_t kEmulatedElements = 1 << 16;
    for (const Extents& e : kExtents) {
      if (is_emulated(*backend_) && e.rows_per_group * e.groups * e.channels > kEmulatedElements) continue;
      for (const DType dtype : {DType::f32, DType::bf16})
        for (int flags = 0; flags < 4; ++flags) {
          const BatchNormDesc d{
              e.rows_per_group * e.groups, e.channels, e.groups, dtype, (flags & 1) != 0, (flags & 2) != 0};
          SCOPED_TRACE(d.x_shape().text() + " groups " + std::to_string(d.groups) + " " + std::string(name_of(dtype)) +
                       (d.relu ? " relu" : "") + (d.residual ? " residual" : ""));
          body(d);
        }
    }
  }
};

/// Of running_every: with every group, with every second one, with the first alone.
std::set<int64_t> strides_of(const BatchNormDesc& d) {
  std::set<int64_t> strides{1, d.groups};
  if (d.groups % 2 == 0) strides.insert(d.groups / 2);
  return strides;
}

/// x shifted by a different constant for each channel, up to 1000 standard deviations away from zero.
Values shifted(const BatchNormDesc& d, uint32_t which) {
  Values x = filled(d.x_shape(), d.dtype, Fill::uniform, which);
  for (size_t i = 0; i < x.v.size(); ++i)
    x.v[i] = round_to(x.v[i] + 100.0 * static_cast<double>(static_cast<int64_t>(i) % d.channels % 7 - 3), d.dtype);
  return x;
}

TEST_P(BatchNorm, StatisticsAndRunningStatistics) {
  each_desc([&](BatchNormDesc d) {
    if (d.relu || d.residual || d.rows == d.groups) return;
    d.momentum = 0.25;
    const Values values = shifted(d, 1), mean = filled({d.channels}, DType::f32, Fill::uniform, 2);
    Values var = filled({d.channels}, DType::f32, Fill::uniform, 3);
    for (double& v : var.v) v = std::abs(v);
    for (const int64_t every : strides_of(d)) {
      SCOPED_TRACE("running_every " + std::to_string(every));
      d.running_every = every;
      OpRun run(*backend_);
      const auto x = run.input(values);
      const auto saved = run.output(d.saved_shape(), DType::f32);
      const auto running_mean = run.in_out(mean), running_var = run.in_out(var);
      run.run([&] { backend_->batch_norm_statistics(d, x, saved, running_mean, running_var); });
      const BatchNormStatistics expected = oracle_batch_norm_statistics(d, values, mean, var);
      const Precision precision{DType::f32, d.rows / d.groups + 4};
      EXPECT_EQ(compare(run.result(saved), expected.saved, precision), "");
      EXPECT_EQ(compare(run.result(running_mean), expected.running_mean, precision), "");
      EXPECT_EQ(compare(run.result(running_var), expected.running_var, precision), "");
    }
  });
}

TEST_P(BatchNorm, StatisticsWithoutRunningOnes) {
  each_desc([&](const BatchNormDesc& d) {
    if (d.relu || d.residual || !power_of_two(d.rows / d.groups)) return;
    OpRun run(*backend_);
    const Values values = filled(d.x_shape(), d.dtype, Fill::integers, 1);
    const auto x = run.input(values);
    const auto saved = run.output(d.saved_shape(), DType::f32);
    run.run([&] { backend_->batch_norm_statistics(d, x, saved, {}, {}); });
    const Values none = constant({d.channels}, DType::f32, 0);
    EXPECT_EQ(
        compare_exact(run.result(saved), oracle_batch_norm_statistics(d, values, none, none).saved.value, DType::f32),
        "");
  });
}

TEST_P(BatchNorm, ConstantChannelsHaveVarianceZero) {
  const BatchNormDesc d{.rows = 3000, .channels = 5};
  OpRun run(*backend_);
  const auto x = run.input(constant(d.x_shape(), DType::f32, 0.1));
  const auto saved = run.output(d.saved_shape(), DType::f32);
  run.run([&] { backend_->batch_norm_statistics(d, x, saved, {}, {}); });
  for (int64_t c = 0; c < d.channels; ++c) {
    EXPECT_EQ(run.result(saved)[static_cast<size_t>(c)], round_to(0.1, DType::f32));
    EXPECT_EQ(run.result(saved)[static_cast<size_t>(d.channels + c)], round_to(1 / std::sqrt(1e-5), DType::f32));
  }
}

TEST_P(BatchNorm, NanAndInfinityReachTheStatistics) {
  for (const double bad : {std::nan(""), static_cast<double>(INFINITY)}) {
    const BatchNormDesc d{.rows = 40, .channels = 3};
    OpRun run(*backend_);
    Values values = filled(d.x_shape(), DType::f32, Fill::uniform, 1);
    values.v[3 * 17 + 1] = bad;
    const auto x = run.input(values);
    const auto saved = run.output(d.saved_shape(), DType::f32);
    run.run([&] { backend_->batch_norm_statistics(d, x, saved, {}, {}); });
    const auto got = run.result(saved);
    EXPECT_FALSE(std::isfinite(got[1]));
    EXPECT_TRUE(std::isnan(got[4])) << got[4];
    for (const size_t other : {0, 2, 3, 5}) EXPECT_TRUE(std::isfinite(got[other]));
  }
}

TEST_P(BatchNorm, SavedFromRunningStatistics) {
  const BatchNormDesc d{.rows = 6, .channels = 37, .groups = 2};
  OpRun run(*backend_);
  const Values mean = filled({d.channels}, DType::f32, Fill::uniform, 1);
  Values var = filled({d.channels}, DType::f32, Fill::uniform, 2);
  for (double& v : var.v) v = std::abs(v);
  const auto running_mean = run.input(mean), running_var = run.input(var);
  const auto saved = run.output(d.saved_shape(), DType::f32);
  run.run([&] { backend_->batch_norm_running(d, running_mean, running_var, saved); });
  Expected expected;
  for (const bool inverse : {false, true})
    for (int64_t i = 0; i < d.groups * d.channels; ++i) {
      const int64_t c = i % d.channels;
      expected.value.push_back(inverse ? 1 / std::sqrt(var[c] + d.eps) : mean[c]);
      expected.magnitude.push_back(std::abs(expected.value.back()));
    }
  EXPECT_EQ(compare(run.result(saved), expected, {DType::f32, 2}), "");
}

/// Operands of apply and backward. Integers: statistics are powers of two and integers, so results are exact.
struct Operands {
  Values x, saved, gamma, beta, residual, dy;
};
Operands operands_of(const BatchNormDesc& d, Fill fill) {
  Operands o{fill == Fill::integers ? filled(d.x_shape(), d.dtype, fill, 1) : shifted(d, 1),
             filled(d.saved_shape(), DType::f32, fill, 2),
             filled({d.channels}, DType::f32, fill, 3),
             filled({d.channels}, DType::f32, fill, 4),
             filled(d.x_shape(), d.dtype, fill, 5),
             filled(d.x_shape(), d.dtype, fill, 6)};
  const int64_t half = d.groups * d.channels;
  for (int64_t i = 0; i < half; ++i) {
    double& mean = o.saved.v[static_cast<size_t>(i)];
    double& inv_std = o.saved.v[static_cast<size_t>(half + i)];
    if (fill == Fill::integers) {
      inv_std = std::ldexp(1.0, static_cast<int>(inv_std));
    } else {
      inv_std = round_to(2 + inv_std, DType::f32);
      mean = round_to(mean * 0.1 + 100.0 * static_cast<double>(i % d.channels % 7 - 3), DType::f32);
    }
  }
  return o;
}

enum class ApplyAlias { none, x, residual };

TEST_P(BatchNorm, Apply) {
  each_desc([&](const BatchNormDesc& d) {
    for (const Fill fill : {Fill::integers, Fill::uniform})
      for (const ApplyAlias alias : {ApplyAlias::none, ApplyAlias::x, ApplyAlias::residual}) {
        if (alias == ApplyAlias::residual && !d.residual) continue;
        SCOPED_TRACE(static_cast<int>(alias));
        OpRun run(*backend_);
        const Operands o = operands_of(d, fill);
        const auto y = alias == ApplyAlias::none ? run.output(d.x_shape(), d.dtype)
                                                 : run.in_out(alias == ApplyAlias::x ? o.x : o.residual);
        const auto x = alias == ApplyAlias::x ? ConstTensorRef(y) : run.input(o.x);
        const auto residual = !d.residual                     ? ConstTensorRef{}
                              : alias == ApplyAlias::residual ? ConstTensorRef(y)
                                                              : run.input(o.residual);
        const auto saved = run.input(o.saved), gamma = run.input(o.gamma), beta = run.input(o.beta);
        const auto positive = backend_->keeps_signs(d) ? run.output(d.signs_shape(), DType::u8) : TensorRef{};
        run.run([&] { backend_->batch_norm_apply(d, {x, saved, gamma, beta}, residual, y, positive); });
        const Expected expected = oracle_batch_norm_apply(d, o.x, o.saved, o.gamma, o.beta, o.residual);
        const std::vector<double> results = run.result(y);
        EXPECT_EQ(judge(results, expected, d.dtype, 5, fill), "");
        if (positive) {
          EXPECT_EQ(run.result(positive), signs_of(results));
        }
      }
  });
}

TEST_P(BatchNorm, ApplyKeepsNan) {
  const BatchNormDesc d{.rows = 4, .channels = 20, .relu = true};
  OpRun run(*backend_);
  Operands o = operands_of(d, Fill::uniform);
  o.x.v[33] = std::nan("");
  const auto x = run.input(o.x), saved = run.input(o.saved), gamma = run.input(o.gamma), beta = run.input(o.beta);
  const auto y = run.output(d.x_shape(), d.dtype);
  run.run([&] { backend_->batch_norm_apply(d, {x, saved, gamma, beta}, {}, y); });
  EXPECT_TRUE(std::isnan(run.result(y)[33]));
}

TEST_P(BatchNorm, Backward) {
  each_desc([&](const BatchNormDesc& d) {
    for (const Fill fill : {Fill::integers, Fill::uniform})
      for (const bool in_place : {false, true})
        for (const bool signs : {false, true})
          for (const Accum accum : {Accum::overwrite, Accum::add}) {
            if (fill == Fill::integers && !power_of_two(d.rows / d.groups)) continue;
            if (signs && !backend_->keeps_signs(d)) continue;
            SCOPED_TRACE(std::string(signs ? "signs " : "") +
                         std::string(fill == Fill::integers ? "integers" : "uniform") + (in_place ? " in place" : "") +
                         (accum == Accum::add ? " add" : ""));
            OpRun run(*backend_);
            const Operands o = operands_of(d, fill);
            const Values y_values = filled(d.x_shape(), d.dtype, Fill::integers, 7);  // zeros, positive, negative
            const Values old_gamma = filled({d.channels}, DType::f32, fill, 8),
                         old_beta = filled({d.channels}, DType::f32, fill, 9);
            const auto x = run.input(o.x), saved = run.input(o.saved), gamma = run.input(o.gamma),
                       beta = run.input(o.beta);
            const auto y = signs                  ? run.input({d.signs_shape(), DType::u8, signs_of(y_values.v)})
                           : d.relu && d.residual ? run.input(y_values)
                                                  : ConstTensorRef{};
            // In place: dresidual is dy when there is a residual, dx is dy otherwise.
            const auto shared = in_place ? run.in_out(o.dy) : TensorRef{};
            const auto dy = in_place ? ConstTensorRef(shared) : run.input(o.dy);
            const auto dx = in_place && !d.residual ? shared : run.output(d.x_shape(), d.dtype);
            const auto dresidual = !d.residual ? TensorRef{} : in_place ? shared : run.output(d.x_shape(), d.dtype);
            const bool add = accum == Accum::add;
            const auto dgamma = add ? run.in_out(old_gamma) : run.output({d.channels}, DType::f32);
            const auto dbeta = add ? run.in_out(old_beta) : run.output({d.channels}, DType::f32);
            run.run([&] {
              backend_->batch_norm_backward(d, dy, y, {x, saved, gamma, beta}, {dx, dgamma, dbeta}, dresidual, accum);
            });
            BatchNormGradients expected = oracle_batch_norm_backward(d, o.dy, o.x, y_values, o.saved, o.gamma, o.beta);
            for (size_t c = 0; add && c < old_gamma.v.size(); ++c) {
              expected.dgamma.value[c] += old_gamma.v[c], expected.dgamma.magnitude[c] += std::abs(old_gamma.v[c]);
              expected.dbeta.value[c] += old_beta.v[c], expected.dbeta.magnitude[c] += std::abs(old_beta.v[c]);
            }
            const int64_t roundings = d.rows / d.groups + 8;
            EXPECT_EQ(judge(run.result(dx), expected.dx, d.dtype, roundings, fill), "");
            EXPECT_EQ(judge(run.result(dgamma), expected.dgamma, DType::f32, roundings + d.groups, fill), "");
            EXPECT_EQ(judge(run.result(dbeta), expected.dbeta, DType::f32, roundings + d.groups, fill), "");
            if (d.residual) {
              EXPECT_EQ(compare_exact(run.result(dresidual), expected.masked, d.dtype), "");
            }
          }
  });
}

/// Large results may be stored another way than those in place: same bits.
TEST_P(BatchNorm, LargeResultsEqualThoseInPlace) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    SCOPED_TRACE(name_of(dtype));
    const BatchNormDesc d{
        .rows = is_emulated(*backend_) ? 1 << 11 : 1 << 16, .channels = 96, .groups = 2, .dtype = dtype, .relu = true};
    OpRun run(*backend_);
    const Operands o = operands_of(d, Fill::uniform);
    const auto x = run.input(o.x), dy = run.input(o.dy), saved = run.input(o.saved);
    const auto gamma = run.input(o.gamma), beta = run.input(o.beta);
    const auto y = run.output(d.x_shape(), dtype), dx = run.output(d.x_shape(), dtype);
    const auto y_in_place = run.in_out(o.x), dx_in_place = run.in_out(o.dy);
    const auto dgamma = run.output({d.channels}, DType::f32), dbeta = run.output({d.channels}, DType::f32);
    run.run([&] {
      backend_->batch_norm_apply(d, {x, saved, gamma, beta}, {}, y);
      backend_->batch_norm_apply(d, {y_in_place, saved, gamma, beta}, {}, y_in_place);
      const NormOperands norm{x, saved, gamma, beta};
      backend_->batch_norm_backward(d, dy, {}, norm, {dx, dgamma, dbeta}, {}, Accum::overwrite);
      backend_->batch_norm_backward(d, dx_in_place, {}, norm, {dx_in_place, dgamma, dbeta}, {}, Accum::overwrite);
    });
    EXPECT_EQ(run.result(y), run.result(y_in_place));
    EXPECT_EQ(run.result(dx), run.result(dx_in_place));
    const auto results = run.result(y);
    EXPECT_GT(*std::max_element(results.begin(), results.end()), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BatchNorm, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
