// The objective op of the eigen backend: every kind against the naive oracle, values by hand, and its promises (memory,
// determinism, nothing written outside).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/registry.h"
#include "math/philox.h"
#include "oracle_objective.h"

namespace dcl {
namespace {

constexpr double kExact = 1e-12, kSingle = 2e-6;

struct Problem {
  test::OracleObjective oracle;
  std::vector<double> z;
};

void normalize_rows(std::vector<double>& z, int64_t dim) {
  for (size_t row = 0; row < z.size() / static_cast<size_t>(dim); ++row) {
    double square = 0;
    for (int64_t k = 0; k < dim; ++k) square += std::pow(z[row * static_cast<size_t>(dim) + static_cast<size_t>(k)], 2);
    for (int64_t k = 0; k < dim; ++k) z[row * static_cast<size_t>(dim) + static_cast<size_t>(k)] /= std::sqrt(square);
  }
}

/// Views of an image are its centre plus noise, of relative size `noise`; images of one label share part of the centre.
Problem problem(const std::string& kind, int64_t batch, int64_t dim, int64_t views = 2, double noise = 0.6) {
  Problem p;
  p.oracle.kind = kind, p.oracle.batch = batch, p.oracle.dim = dim, p.oracle.views = views;
  RandomStream stream(5, RandomPurpose::test, static_cast<uint32_t>(batch), static_cast<uint32_t>(dim));
  for (int64_t image = 0; image < batch; ++image) p.oracle.labels.push_back(static_cast<int32_t>(stream.below(5)) - 1);
  std::vector<double> centres(static_cast<size_t>(batch * dim)), classes(static_cast<size_t>(5 * dim));
  for (double& v : classes) v = stream.uniform(-1, 1);
  for (size_t i = 0; i < centres.size(); ++i) {
    const auto label = static_cast<size_t>(p.oracle.labels[i / static_cast<size_t>(dim)] + 1);
    centres[i] = stream.uniform(-1, 1) + 0.7 * classes[label * static_cast<size_t>(dim) + i % static_cast<size_t>(dim)];
  }
  for (int64_t view = 0; view < views; ++view)
    for (const double c : centres) p.z.push_back(c + noise * stream.uniform(-1, 1));
  normalize_rows(p.z, dim);
  return p;
}

ObjectiveDesc desc_of(const test::OracleObjective& o) {
  ObjectiveDesc d;
  d.kind = o.kind == "biased"      ? ObjectiveKind::biased
           : o.kind == "debiased"  ? ObjectiveKind::debiased
           : o.kind == "hard"      ? ObjectiveKind::hard
           : o.kind == "decoupled" ? ObjectiveKind::decoupled
           : o.kind == "supcon"    ? ObjectiveKind::supcon
                                   : ObjectiveKind::unbiased;
  d.scale = o.sum_scale ? NegativeScale::sum : NegativeScale::mean;
  d.batch = o.batch, d.views = o.views, d.dim = o.dim;
  d.temperature = o.temperature, d.tau_plus = o.tau_plus, d.beta = o.beta;
  return d;
}

/// Runs the op between guard bytes, on poisoned memory; NaN in the gradient means that an element was not written.
template <class T>
test::OracleOutcome evaluate(const Problem& p, bool with_gradient = true) {
  constexpr size_t kGuard = 256;
  constexpr unsigned char kMark = 0xA5;
  ObjectiveDesc d = desc_of(p.oracle);
  d.dtype = dtype_of<T>;
  const auto backend = make_backend("eigen");
  const std::vector<T> z(p.z.begin(), p.z.end());
  const size_t bytes = backend->objective_workspace(d);
  const Buffer memory(*backend, bytes + kGuard);
  auto* raw = static_cast<unsigned char*>(memory.data());
  std::fill_n(raw, bytes, 0xFF);
  std::fill_n(raw + bytes, kGuard, kMark);
  std::vector<T> dz(z.size() + kGuard, static_cast<T>(NAN));
  std::vector<double> result(kObjectiveResults, NAN);
  backend->objective(d, tensor_of(z.data(), d.z_shape()),
                     tensor_of(p.oracle.labels.data(), {static_cast<int64_t>(p.oracle.labels.size())}),
                     tensor_of(result.data(), {kObjectiveResults}),
                     with_gradient ? tensor_of(dz.data(), d.z_shape()) : TensorRef{}, {memory.data(), bytes});
  EXPECT_EQ(std::count(raw + bytes, raw + bytes + kGuard, kMark), static_cast<std::ptrdiff_t>(kGuard));
  EXPECT_TRUE(
      std::all_of(dz.begin() + static_cast<std::ptrdiff_t>(z.size()), dz.end(), [](T v) { return std::isnan(v); }));
  dz.resize(z.size());
  return {result[kLoss], result[kClampFraction], result[kMeanPositive], result[kMeanNegative], {dz.begin(), dz.end()}};
}

double norm(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}

/// Euclidean distance of the gradients over the norm of the wanted one.
double gradient_error(const test::OracleOutcome& got, const test::OracleOutcome& want) {
  std::vector<double> difference(want.gradient.size());
  for (size_t i = 0; i < difference.size(); ++i) difference[i] = got.gradient[i] - want.gradient[i];
  const double error = norm(difference) / norm(want.gradient);
  return std::isnan(error) ? INFINITY : error;
}

bool agree(const test::OracleOutcome& got, const test::OracleOutcome& want, double relative) {
  return std::abs(got.loss - want.loss) <= relative * std::abs(want.loss) && gradient_error(got, want) <= relative &&
         std::abs(got.clamp_fraction - want.clamp_fraction) < 1e-9 &&
         std::abs(got.mean_positive - want.mean_positive) <= relative &&
         std::abs(got.mean_negative - want.mean_negative) <= relative;
}

/// f32 is compared with the oracle at the embeddings it was given, which are the rounded ones.
void expect_agreement(const Problem& p, const std::string& where) {
  Problem rounded = p;
  for (double& v : rounded.z) v = static_cast<double>(static_cast<float>(v));
  const test::OracleOutcome want = test::oracle_objective(p.oracle, p.z), exact = evaluate<double>(p);
  EXPECT_TRUE(agree(exact, want, kExact)) << where << " f64: loss " << exact.loss << " for " << want.loss
                                          << ", gradient off by " << gradient_error(exact, want);
  const test::OracleOutcome near = test::oracle_objective(p.oracle, rounded.z), single = evaluate<float>(p);
  EXPECT_TRUE(agree(single, near, kSingle)) << where << " f32: loss " << single.loss << " for " << near.loss
                                            << ", gradient off by " << gradient_error(single, near);
}

const char* const kKinds[] = {"biased", "debiased", "hard", "decoupled", "unbiased", "supcon"};

TEST(ObjectiveOracleItself, GradientsAreFiniteDifferencesOfItsLoss) {
  for (const std::string kind : kKinds)
    for (const int64_t views : {2, 4})
      for (const double tau : {0.02, 0.12}) {  // no anchor clamped; some
        Problem p = problem(kind, 6, 5, views);
        p.oracle.tau_plus = tau, p.oracle.beta = 0.7, p.oracle.sum_scale = views == 4;
        const test::OracleOutcome at = test::oracle_objective(p.oracle, p.z);
        const double step = 1e-5;
        for (size_t i = 0; i < p.z.size(); ++i) {
          std::vector<double> up = p.z, down = p.z;
          up[i] += step, down[i] -= step;
          const double slope =
              (test::oracle_objective(p.oracle, up).loss - test::oracle_objective(p.oracle, down).loss) / (2 * step);
          ASSERT_NEAR(at.gradient[i], slope, 2e-9) << kind << " views " << views << " element " << i;
        }
      }
}

TEST(Objective, EveryKindAtEverySizeMatchesTheOracle) {
  const std::pair<int64_t, int64_t> sizes[] = {{2, 2},   {2, 8},    {3, 17},   {5, 16},
                                               {31, 33}, {33, 128}, {64, 127}, {97, 300}};
  for (const std::string kind : kKinds)
    for (const auto& [batch, dim] : sizes) {
      Problem p = problem(kind, batch, dim);
      expect_agreement(p, kind + " batch " + std::to_string(batch) + " dim " + std::to_string(dim));
      p.oracle.sum_scale = true;
      if (kind == "unbiased") expect_agreement(p, "unbiased by sum, batch " + std::to_string(batch));
    }
}

TEST(Objective, LargeBatchesOfSeveralBlocksMatchTheOracle) {
  for (const std::string kind : kKinds) expect_agreement(problem(kind, 601, 20), kind + " batch 601");
  expect_agreement(problem("debiased", 1600, 9), "debiased batch 1600");
}

TEST(Objective, ExtraViewsArePositivesOfTheDebiasingTerm) {
  for (const std::string kind : kKinds)
    for (const int64_t views : {3, 5}) {
      const Problem p = problem(kind, 35, 24, views);
      expect_agreement(p, kind + " views " + std::to_string(views));
      const std::vector<double> gradient = evaluate<double>(p).gradient;
      const double of_extra = norm({gradient.begin() + 2 * 35 * 24, gradient.end()});
      EXPECT_EQ(of_extra > 0, kind == "debiased" || kind == "hard") << kind;
    }
}

TEST(Objective, TemperaturesPriorsAndClamps) {
  for (const double t : {1.0, 0.5, 0.2, 0.1, 0.07})
    for (const double tau : {0.0, 0.01, 0.1, 0.5})
      for (const std::string kind : {"debiased", "hard"}) {
        Problem p = problem(kind, 40, 32, 2, 1.5);
        p.oracle.temperature = t, p.oracle.tau_plus = tau, p.oracle.beta = 2;
        expect_agreement(p, kind + " t " + std::to_string(t));
      }
}

TEST(Objective, ClampedAnchorsKeepOnlyTheirPull) {
  Problem p = problem("debiased", 20, 16, 2, 0.05);
  p.oracle.tau_plus = 0.5;
  expect_agreement(p, "all clamped");
  EXPECT_EQ(evaluate<double>(p).clamp_fraction, 1);
  p = problem("debiased", 40, 6, 2, 1.0);
  p.oracle.tau_plus = 0.2;
  const double share = evaluate<double>(p).clamp_fraction;
  EXPECT_GT(share, 0);
  EXPECT_LT(share, 1);
  expect_agreement(p, "some clamped");
}

TEST(Objective, LowTemperaturesStayFinite) {
  for (const std::string kind : kKinds)
    for (const double t : {0.05, 0.02, 0.01, 0.005}) {
      Problem p = problem(kind, 33, 12, 2, 2.5);
      p.oracle.temperature = t, p.oracle.beta = 1.5;
      const test::OracleOutcome want = test::oracle_objective(p.oracle, p.z);
      const test::OracleOutcome exact = evaluate<double>(p), single = evaluate<float>(p);
      // A cosine rounded to 2^-53 moves e^(s/t) by 2^-53 / t; f32 embeddings are off by 2^-24 / sqrt(dim) per cosine.
      EXPECT_NEAR(exact.loss, want.loss, 1e-12 * want.loss + 1e-15) << kind << " t " << t;
      EXPECT_LE(gradient_error(exact, want), 1e-11) << kind << " t " << t;
      EXPECT_NEAR(single.loss, want.loss, 1e-6 / t * want.loss) << kind << " t " << t;
      EXPECT_LE(gradient_error(single, want), 1e-6 / t) << kind << " t " << t;
    }
  // An anchor opposite to everything, its pair among it: all of its exponentials are e^-100.
  Problem p{{"biased", false, 3, 2, 2, 0.01}, {-1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0}};
  EXPECT_NEAR(evaluate<float>(p).loss, test::oracle_objective(p.oracle, p.z).loss, 1e-6);
}

TEST(Objective, ValuesByHand) {
  // Pairs coincide, images are orthogonal, t = 1/2: p = e^2, every negative e^0.
  Problem p{{"biased", false, 2, 2, 2}, {1, 0, 0, 1, 1, 0, 0, 1}};
  const double e2 = std::exp(2.0);
  EXPECT_NEAR(evaluate<double>(p).loss, std::log(1 + 2 / e2), 1e-15);
  p.oracle.kind = "decoupled";
  EXPECT_NEAR(evaluate<double>(p).loss, std::log(2 / e2), 1e-15);
  EXPECT_NEAR(evaluate<double>(p).gradient[0], -2 * 0.5, 1e-15);  // of the pair: -(1/4) / (1/2), met as below
  p.oracle.kind = "debiased";
  const double ng = (2 - 0.1 * 2 * e2) / 0.9;
  EXPECT_NEAR(evaluate<double>(p).loss, std::log(1 + ng / e2), 1e-15);
  EXPECT_EQ(evaluate<double>(p).mean_positive, 1);
  EXPECT_EQ(evaluate<double>(p).mean_negative, 0);
  // dL/ds of a negative: (1/4) / (1/2) * 1 / (0.9 (p + Ng)); two anchors and both directions meet in dz.
  EXPECT_NEAR(evaluate<double>(p).gradient[1], 4 * 0.5 / (0.9 * (e2 + ng)), 1e-15);
  p.oracle.tau_plus = 0.3;  // raw is negative: the floor 2 e^-2
  EXPECT_NEAR(evaluate<double>(p).loss, std::log(1 + 2 / (e2 * e2)), 1e-15);
  EXPECT_EQ(evaluate<double>(p).gradient[1], 0);
  // Both images are of one class: each anchor has the cosines 1, 0 and 0 to its positives, which are all others.
  Problem one_class{{"supcon", false, 2, 2, 2}, p.z};
  one_class.oracle.labels = {5, 5};
  EXPECT_NEAR(evaluate<double>(one_class).loss, std::log(e2 + 2) - 2.0 / 3, 1e-15);
  EXPECT_NEAR(evaluate<double>(one_class).mean_positive, 1.0 / 3, 1e-15);
  EXPECT_EQ(evaluate<double>(one_class).mean_negative, 0);
  // All embeddings equal: every exponential is the same.
  Problem same{{"biased", false, 4, 2, 3}, {}};
  for (int row = 0; row < 8; ++row) same.z.insert(same.z.end(), {0.6, 0.8, 0});
  EXPECT_NEAR(evaluate<double>(same).loss, std::log(7.0), 1e-15);
}

TEST(Objective, OneImageHasNoNegatives) {
  for (const std::string kind : kKinds) {
    const Problem p = problem(kind, 1, 8);
    const test::OracleOutcome got = evaluate<float>(p);
    EXPECT_EQ(got.loss, 0) << kind;
    EXPECT_EQ(got.mean_negative, 0) << kind;
    for (const double g : got.gradient) EXPECT_EQ(g, 0) << kind;
  }
}

TEST(Objective, HardWithoutImportanceIsDebiasedAndDebiasedWithoutPriorIsBiased) {
  for (const int64_t batch : {7, 200}) {
    Problem debiased = problem("debiased", batch, 40, 3), hard = debiased;
    hard.oracle.kind = "hard", hard.oracle.beta = 0;
    EXPECT_EQ(evaluate<float>(hard).loss, evaluate<float>(debiased).loss);
    EXPECT_EQ(evaluate<float>(hard).gradient, evaluate<float>(debiased).gradient);
    EXPECT_EQ(evaluate<double>(hard).gradient, evaluate<double>(debiased).gradient);
    Problem biased = debiased;
    biased.oracle.kind = "biased", debiased.oracle.tau_plus = 0;
    EXPECT_EQ(evaluate<double>(debiased).loss, evaluate<double>(biased).loss);
    EXPECT_EQ(evaluate<double>(debiased).gradient, evaluate<double>(biased).gradient);
  }
}

TEST(Objective, UnknownLabelsAreNegativesAndAnchorsWithoutTrueNegativesAreStill) {
  Problem p = problem("unbiased", 50, 16), biased = p;
  biased.oracle.kind = "biased";
  std::fill(p.oracle.labels.begin(), p.oracle.labels.end(), -1);
  EXPECT_EQ(evaluate<double>(p).loss, evaluate<double>(biased).loss);
  EXPECT_EQ(evaluate<double>(p).gradient, evaluate<double>(biased).gradient);
  std::fill(p.oracle.labels.begin(), p.oracle.labels.end(), 3);
  const test::OracleOutcome one_class = evaluate<double>(p);
  EXPECT_EQ(one_class.loss, 0);
  EXPECT_EQ(one_class.mean_negative, 0);
  EXPECT_TRUE(std::all_of(one_class.gradient.begin(), one_class.gradient.end(), [](double g) { return g == 0; }));
  for (size_t i = 0; i < 50; ++i) p.oracle.labels[i] = 2000000000 + static_cast<int32_t>(i % 2);  // not exact in f32
  expect_agreement(p, "labels beyond f32's integers");
}

TEST(Objective, SupervisedWithoutAClassmateIsBiased) {
  Problem p = problem("supcon", 50, 16), biased = p;
  biased.oracle.kind = "biased";
  for (const int32_t step : {0, 1}) {
    for (int32_t i = 0; i < 50; ++i) p.oracle.labels[static_cast<size_t>(i)] = i * step - (1 - step);
    EXPECT_EQ(evaluate<float>(p).gradient, evaluate<float>(biased).gradient);
    EXPECT_NEAR(evaluate<double>(p).loss, evaluate<double>(biased).loss, 1e-15);
    EXPECT_NEAR(evaluate<double>(p).mean_negative, evaluate<double>(biased).mean_negative, 1e-15);
  }
}

TEST(Objective, SupervisedWithOneClassHasNoNegatives) {
  for (const int64_t batch : {1, 2, 49, 103, 107}) {  // 1 / (1 / 98.0) is not 98
    Problem p = problem("supcon", batch, 3);
    std::fill(p.oracle.labels.begin(), p.oracle.labels.end(), 7);
    EXPECT_EQ(evaluate<double>(p).mean_negative, 0) << batch;
  }
}

TEST(Objective, WithoutGradientTheValueIsTheSame) {
  for (const std::string kind : {"hard", "supcon"}) {
    const Problem p = problem(kind, 120, 32);
    EXPECT_EQ(evaluate<float>(p).loss, evaluate<float>(p, false).loss);
  }
}

TEST(Objective, NanReachesTheLoss) {
  for (const std::string kind : kKinds) {
    Problem p = problem(kind, 20, 8);
    p.z[37] = NAN;
    EXPECT_TRUE(std::isnan(evaluate<float>(p).loss)) << kind;
    EXPECT_TRUE(std::isnan(evaluate<double>(p).loss)) << kind;
  }
}

TEST(Objective, BitsDoNotDependOnTheThreadCount) {
  for (const std::string kind : {"hard", "supcon"}) {
    const Problem p = problem(kind, 301, 48);
    std::vector<test::OracleOutcome> outcomes;
    for (const int threads : {1, 2, 3, 8}) {
      set_thread_count(threads);
      outcomes.push_back(evaluate<float>(p));
      EXPECT_EQ(outcomes.back().loss, outcomes.front().loss);
      EXPECT_EQ(outcomes.back().gradient, outcomes.front().gradient);
    }
  }
  set_thread_count(0);
}

TEST(Objective, MemoryGrowsWithTheEmbeddingsAlone) {
  const auto backend = make_backend("eigen");
  const auto bytes = [&](int64_t batch, double t) {
    ObjectiveDesc d;
    d.batch = batch, d.dim = 128, d.temperature = t;
    return static_cast<double>(backend->objective_workspace(d));
  };
  EXPECT_LT(bytes(4096, 0.5), 64 << 20);
  EXPECT_LT(bytes(4096, 0.01), 64 << 20);  // computed in double
  EXPECT_LT(bytes(65536, 0.5) / bytes(4096, 0.5), 16.5);
}

TEST(Objective, PlantedErrorsAreRejected) {
  for (const std::string kind : kKinds) {
    const Problem p = problem(kind, 33, 16);
    const test::OracleOutcome want = test::oracle_objective(p.oracle, p.z);
    EXPECT_TRUE(agree(want, want, kExact));
    const auto rejected = [&](auto&& plant) {
      test::OracleOutcome wrong = want;
      plant(wrong);
      return !agree(wrong, want, kExact);
    };
    EXPECT_TRUE(rejected([](auto& w) { w.loss *= 1 + 3e-12; }));
    EXPECT_TRUE(rejected([](auto& w) { w.gradient[17] += 2e-12 * norm(w.gradient); }));
    EXPECT_TRUE(rejected([](auto& w) { w.gradient[17] = NAN; }));
    EXPECT_TRUE(rejected([](auto& w) { w.clamp_fraction += 1.0 / 66; }));
    EXPECT_TRUE(rejected([](auto& w) { w.mean_negative += 1e-10; }));
    // What a wrong implementation would give: another temperature, prior, beta or normalisation.
    Problem other = p;
    other.oracle.temperature *= 1 + 1e-5, other.oracle.sum_scale = true;
    EXPECT_FALSE(agree(evaluate<float>(other), want, kSingle)) << kind;
  }
}

}  // namespace
}  // namespace dcl
