// One optimizer step on a state in the middle of training. Several steps and values by hand: unit/optimizers_test.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "support/backends.h"
#include "support/compare.h"
#include "support/op_run.h"

namespace dcl::test {
namespace {

constexpr int64_t kSizes[] = {1, 15, 16, 1000, 70001};
constexpr int64_t kRoundings = 12;  // on the way from the operands to the weight

/// Entries with the sizes of what they were made of.
struct Vector {
  Expected e;
  void add(double value, double magnitude) { e.value.push_back(value), e.magnitude.push_back(magnitude); }
};

class Optimizers : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());
  const Values scalars_ = values_of({kStepScalars}, DType::f32, {0.01, 0.271, 0.0547, 1});

  static Values some(int64_t size, uint32_t which) { return filled({size}, DType::f32, Fill::uniform, which); }
  static std::string judge(const std::vector<double>& got, const Vector& expected) {
    return compare(got, expected.e, {DType::f32, kRoundings});
  }
};

TEST_P(Optimizers, Adam) {
  for (const int64_t size : kSizes) {
    const AdamDesc d{size, 0.9, 0.99, 1e-3, 0.05};
    const Values w0 = some(size, 1), g0 = some(size, 2), m0 = some(size, 3);
    Values v0 = some(size, 4);
    for (double& v : v0.v) v = std::abs(v);
    OpRun run(*backend_);
    const auto s = run.input(scalars_), g = run.input(g0);
    const auto w = run.in_out(w0), m = run.in_out(m0), v = run.in_out(v0);
    run.run([&] { backend_->adam(d, s, w, g, m, v); });
    Vector weight, first, second;
    for (int64_t i = 0; i < size; ++i) {
      const double gradient = g0[i] + d.weight_decay * w0[i],
                   size_of_gradient = std::abs(g0[i]) + d.weight_decay * std::abs(w0[i]);
      const double moment = d.beta1 * m0[i] + (1 - d.beta1) * gradient;
      const double moment_size = std::abs(d.beta1 * m0[i]) + (1 - d.beta1) * size_of_gradient;
      const double square = d.beta2 * v0[i] + (1 - d.beta2) * gradient * gradient;
      const double denominator = std::sqrt(square) / scalars_[kBiasCorrection2Sqrt] + d.eps;
      const double rate = scalars_[kLearningRate] / scalars_[kBiasCorrection1];
      first.add(moment, moment_size);
      second.add(square, d.beta2 * v0[i] + (1 - d.beta2) * size_of_gradient * size_of_gradient);
      weight.add(w0[i] - rate * moment / denominator, std::abs(w0[i]) + rate * moment_size / denominator);
    }
    EXPECT_EQ(judge(run.result(m), first), "");
    EXPECT_EQ(judge(run.result(v), second), "");
    EXPECT_EQ(judge(run.result(w), weight), "");
  }
}

TEST_P(Optimizers, Sgd) {
  for (const int64_t size : kSizes)
    for (const bool nesterov : {false, true}) {
      const SgdDesc d{size, 0.8, 0.05, nesterov};
      const Values w0 = some(size, 1), g0 = some(size, 2), u0 = some(size, 3);
      OpRun run(*backend_);
      const auto s = run.input(scalars_), g = run.input(g0);
      const auto w = run.in_out(w0), u = run.in_out(u0);
      run.run([&] { backend_->sgd(d, s, w, g, u); });
      Vector weight, velocity;
      for (int64_t i = 0; i < size; ++i) {
        const double gradient = g0[i] + d.weight_decay * w0[i],
                     size_of_gradient = std::abs(g0[i]) + d.weight_decay * std::abs(w0[i]);
        const double moved = d.momentum * u0[i] + gradient,
                     moved_size = d.momentum * std::abs(u0[i]) + size_of_gradient;
        const double step = nesterov ? gradient + d.momentum * moved : moved;
        velocity.add(moved, moved_size);
        weight.add(w0[i] - scalars_[kLearningRate] * step,
                   std::abs(w0[i]) + scalars_[kLearningRate] * (size_of_gradient + moved_size));
      }
      EXPECT_EQ(judge(run.result(u), velocity), "");
      EXPECT_EQ(judge(run.result(w), weight), "");
    }
}

TEST_P(Optimizers, Lars) {
  for (const int64_t size : kSizes)
    for (const bool adapt : {false, true}) {
      const LarsDesc d{size, 0.8, 0.05, 0.02, adapt};
      const Values w0 = some(size, 1), g0 = some(size, 2), u0 = some(size, 3);
      OpRun run(*backend_);
      const auto s = run.input(scalars_), g = run.input(g0);
      const auto w = run.in_out(w0), u = run.in_out(u0);
      run.run([&] { backend_->lars(d, s, w, g, u); });
      double w_norm = 0, g_norm = 0;
      for (int64_t i = 0; i < size; ++i) w_norm += w0[i] * w0[i], g_norm += g0[i] * g0[i];
      w_norm = std::sqrt(w_norm), g_norm = std::sqrt(g_norm);
      const double decay = adapt ? d.weight_decay : 0;
      const double rate = scalars_[kLearningRate] * (adapt ? d.trust * w_norm / (g_norm + decay * w_norm) : 1);
      Vector weight, velocity;
      for (int64_t i = 0; i < size; ++i) {
        const double moved = d.momentum * u0[i] + rate * (g0[i] + decay * w0[i]);
        const double moved_size = d.momentum * std::abs(u0[i]) + rate * (std::abs(g0[i]) + decay * std::abs(w0[i]));
        velocity.add(moved, moved_size);
        weight.add(w0[i] - moved, std::abs(w0[i]) + moved_size);
      }
      EXPECT_EQ(judge(run.result(u), velocity), "");
      EXPECT_EQ(judge(run.result(w), weight), "");
    }
}

TEST_P(Optimizers, NothingChangesWhenTheUpdateIsNotApplied) {
  constexpr int64_t kSize = 70001;
  Values off = scalars_;
  off.v[kApply] = 0;
  const Values w0 = some(kSize, 1), m0 = some(kSize, 3), v0 = some(kSize, 4);
  const Values g0 = constant({kSize}, DType::f32, NAN);
  OpRun run(*backend_);
  const auto s = run.input(off), g = run.input(g0);
  const auto w = run.in_out(w0), m = run.in_out(m0), v = run.in_out(v0);
  const auto expect_unchanged = [&] {
    EXPECT_EQ(run.result(w), w0.v);
    EXPECT_EQ(run.result(m), m0.v);
    EXPECT_EQ(run.result(v), v0.v);
  };
  run.run([&] { backend_->adam({kSize}, s, w, g, m, v); });
  expect_unchanged();
  run.run([&] { backend_->sgd({kSize}, s, w, g, m); });
  expect_unchanged();
  for (const bool adapt : {false, true}) {
    run.run([&] { backend_->lars({.size = kSize, .adapt = adapt}, s, w, g, m); });
    expect_unchanged();
  }
}

TEST_P(Optimizers, OnlyALossThatIsNotFiniteTakesTheUpdateBack) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const auto& [loss, apply, expected] : {std::tuple{2.5, 1.0, 1.0},
                                              {-1e300, 1.0, 1.0},
                                              {NAN, 1.0, 0.0},
                                              {kInfinity, 1.0, 0.0},
                                              {-kInfinity, 1.0, 0.0},
                                              {2.5, 0.0, 0.0}}) {
    Values before = scalars_;
    before.v[kApply] = apply;
    OpRun run(*backend_);
    const auto result = run.input(values_of({kObjectiveResults}, DType::f64, {loss, NAN, 0, 0}));
    const auto scalars = run.in_out(before);
    run.run([&] { backend_->guard_update(result, scalars); });
    Values after = before;
    after.v[kApply] = expected;
    EXPECT_EQ(run.result(scalars), after.v) << loss;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Optimizers, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
