// Optimizers of the eigen backend against published formulas in double, over several steps.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "core/registry.h"
#include "math/philox.h"
#include "oracle_optimizers.h"

namespace dcl {
namespace {

constexpr double kUnit = 0x1p-24;
constexpr int kSteps = 5;

std::vector<float> random_values(size_t count, uint32_t which) {
  RandomStream stream(31, RandomPurpose::test, which);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(stream.uniform(-1, 1));
  return values;
}

struct Trained {
  std::vector<float> w, first, second;
};
TensorRef vector_of(std::vector<float>& values) {
  return tensor_of(values.data(), {static_cast<int64_t>(values.size())});
}

/// Calls step(backend, scalars, run, gradient) kSteps times with a learning rate that changes.
template <class Step>
Trained train(size_t size, Step&& step) {
  const auto backend = make_backend("eigen");
  Trained run{random_values(size, 0), std::vector<float>(size), std::vector<float>(size)};
  for (int t = 1; t <= kSteps; ++t) {
    std::vector<float> gradient = random_values(size, static_cast<uint32_t>(t));
    std::vector<float> scalars = {1e-2f / static_cast<float>(t), static_cast<float>(1 - std::pow(0.9, t)),
                                  static_cast<float>(std::sqrt(1 - std::pow(0.999, t))), 1};
    step(*backend, vector_of(scalars), run, vector_of(gradient));
  }
  return run;
}

/// The same with an oracle for element i.
template <class Step>
test::OracleState oracle_of(size_t size, size_t i, Step&& step) {
  test::OracleState state{static_cast<double>(random_values(size, 0)[i])};
  for (int t = 1; t <= kSteps; ++t)
    step(state, static_cast<double>(random_values(size, static_cast<uint32_t>(t))[i]),
         static_cast<double>(1e-2f / static_cast<float>(t)), t);
  return state;
}

const size_t kSizes[] = {1, 15, 16, 1000};

TEST(Optimizers, AdamMatchesTheFormula) {
  for (const size_t size : kSizes) {
    const AdamDesc d{static_cast<int64_t>(size), 0.9, 0.999, 1e-8, 0.1};
    const Trained run = train(size, [&](Backend& b, TensorRef scalars, Trained& r, TensorRef g) {
      b.adam(d, scalars, vector_of(r.w), g, vector_of(r.first), vector_of(r.second));
    });
    for (size_t i = 0; i < size; i += 37) {
      const auto want = oracle_of(size, i, [&](test::OracleState& s, double g, double lr, int t) {
        test::oracle_adam(s, g, lr, d.beta1, d.beta2, d.eps, d.weight_decay, t);
      });
      // Each step rounds w once and moves it by at most a few lr with about ten roundings.
      EXPECT_NEAR(static_cast<double>(run.w[i]), want.w, kSteps * (2 + 30 * 1e-2) * kUnit) << size << ", " << i;
      EXPECT_NEAR(static_cast<double>(run.first[i]), want.first, kSteps * 4 * kUnit);
      EXPECT_NEAR(static_cast<double>(run.second[i]), want.second, kSteps * 6 * kUnit * std::max(want.second, 1e-3));
    }
  }
}

TEST(Optimizers, AdamByHand) {
  // g = 1, zero state: m = 0.1, v = 0.001; both corrected moments are 1, so w falls by lr / (1 + eps).
  std::vector<float> scalars = {0.5f, 0.1f, std::sqrt(0.001f), 1.0f}, w = {2}, g = {1}, m = {0}, v = {0};
  make_backend("eigen")->adam({1, 0.9, 0.999, 1.0, 0.0}, vector_of(scalars), vector_of(w), vector_of(g), vector_of(m),
                              vector_of(v));
  EXPECT_FLOAT_EQ(w[0], 1.75f);  // eps = 1 halves the step: it is added after the correction
  EXPECT_FLOAT_EQ(m[0], 0.1f);
  EXPECT_FLOAT_EQ(v[0], 0.001f);
}

TEST(Optimizers, SgdMatchesTheFormula) {
  for (const size_t size : kSizes)
    for (const bool nesterov : {false, true})
      for (const double momentum : {0.0, 0.9}) {
        const SgdDesc d{static_cast<int64_t>(size), momentum, 0.05, nesterov};
        const Trained run = train(size, [&](Backend& b, TensorRef scalars, Trained& r, TensorRef g) {
          b.sgd(d, scalars, vector_of(r.w), g, vector_of(r.first));
        });
        for (size_t i = 0; i < size; i += 41) {
          const auto want = oracle_of(size, i, [&](test::OracleState& s, double g, double lr, int t) {
            test::oracle_sgd(s, g, lr, momentum, d.weight_decay, nesterov, t);
          });
          EXPECT_NEAR(static_cast<double>(run.w[i]), want.w, kSteps * 3 * kUnit);
          EXPECT_NEAR(static_cast<double>(run.first[i]), want.first, kSteps * 16 * kUnit);
        }
      }
}

TEST(Optimizers, LarsByHand) {
  // |w| = 5, |g| = 10, decay 0.5, trust 0.1: local rate 0.1 * 5 / (10 + 2.5) = 0.04; g + 0.5 w = (7.5, 10).
  std::vector<float> scalars = {0.5f, 1, 1, 1}, w = {3, 4}, g = {6, 8}, velocity = {1, -1};
  const auto backend = make_backend("eigen");
  backend->lars({2, 0.9, 0.5, 0.1, true}, vector_of(scalars), vector_of(w), vector_of(g), vector_of(velocity));
  EXPECT_FLOAT_EQ(velocity[0], 0.9f + 0.02f * 7.5f);
  EXPECT_FLOAT_EQ(velocity[1], -0.9f + 0.02f * 10.0f);
  EXPECT_FLOAT_EQ(w[0], 3 - velocity[0]);
  EXPECT_FLOAT_EQ(w[1], 4 - velocity[1]);
}

TEST(Optimizers, LarsWithoutAdaptationIsPlainAndZeroWeightsCanMove) {
  const auto backend = make_backend("eigen");
  std::vector<float> scalars = {0.5f, 1, 1, 1}, w = {3}, g = {6}, velocity = {0};
  backend->lars({1, 0.9, 0.5, 0.1, false}, vector_of(scalars), vector_of(w), vector_of(g), vector_of(velocity));
  EXPECT_FLOAT_EQ(w[0], 0.0f);  // 3 - 0.5 * 6: no decay, local rate 1
  w = {0}, velocity = {0};
  backend->lars({1, 0.9, 0.5, 0.1, true}, vector_of(scalars), vector_of(w), vector_of(g), vector_of(velocity));
  EXPECT_FLOAT_EQ(w[0], -3.0f);
}

TEST(Optimizers, LarsWithoutGradientsDecaysAtTheLearningRate) {
  const auto backend = make_backend("eigen");
  std::vector<float> scalars = {0.5f, 1, 1, 1}, w = {3, 4}, g = {0, 0}, velocity = {0, 0};
  backend->lars({2, 0.9, 0.0, 0.1, true}, vector_of(scalars), vector_of(w), vector_of(g), vector_of(velocity));
  EXPECT_EQ(w, (std::vector<float>{3, 4})) << "0 times a rate that is a number";
  backend->lars({2, 0.9, 0.5, 0.1, true}, vector_of(scalars), vector_of(w), vector_of(g), vector_of(velocity));
  EXPECT_EQ(w, (std::vector<float>{2.25f, 3}));  // w - 0.5 * 0.5 w: local rate 1
}

TEST(Optimizers, NonFiniteGradientsReachTheWeights) {
  const auto backend = make_backend("eigen");
  std::vector<float> scalars = {0.1f, 0.1f, 0.03f, 1}, g = {std::numeric_limits<float>::quiet_NaN(), 1};
  std::vector<float> w = {1, 1}, m(2), v(2);
  backend->adam({2}, vector_of(scalars), vector_of(w), vector_of(g), vector_of(m), vector_of(v));
  EXPECT_TRUE(std::isnan(w[0]));
  EXPECT_FALSE(std::isnan(w[1]));
  w = {1, 1};
  std::vector<float> velocity(2);
  backend->lars({2}, vector_of(scalars), vector_of(w), vector_of(g), vector_of(velocity));
  EXPECT_TRUE(std::isnan(w[0]) && std::isnan(w[1]));  // the norm is not a number
}

TEST(Optimizers, BitsDoNotDependOnTheThreadCount) {
  std::vector<Trained> runs;
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    runs.push_back(train(100001, [&](Backend& b, TensorRef scalars, Trained& r, TensorRef g) {
      b.lars({100001, 0.9, 1e-4, 0.01, true}, scalars, vector_of(r.w), g, vector_of(r.first));
      b.adam({100001}, scalars, vector_of(r.w), g, vector_of(r.first), vector_of(r.second));
    }));
    EXPECT_EQ(runs.back().w, runs.front().w);
    EXPECT_EQ(runs.back().second, runs.front().second);
  }
  set_thread_count(0);
}

}  // namespace
}  // namespace dcl
