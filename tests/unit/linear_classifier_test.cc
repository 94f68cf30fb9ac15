#include "train/linear_classifier.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/registry.h"
#include "math/philox.h"

namespace dcl {
namespace {

constexpr int64_t kRows = 6, kDim = 5, kClasses = 3;

/// The same classifier in double, written from the definitions.
struct Oracle {
  std::vector<double> w, m, v;
  int64_t t = 0;

  double logit(const std::vector<float>& x, int64_t row, int64_t c) const {
    double sum = w[kClasses * kDim + c];
    for (int64_t d = 0; d < kDim; ++d) sum += w[c * kDim + d] * x[row * kDim + d];
    return sum;
  }

  double train(const std::vector<float>& x, const std::vector<int32_t>& labels, double lr, double decay) {
    std::vector<double> g(w.size(), 0.0);
    double loss = 0;
    for (int64_t row = 0; row < kRows; ++row) {
      double total = 0;
      for (int64_t c = 0; c < kClasses; ++c) total += std::exp(logit(x, row, c));
      loss -= std::log(std::exp(logit(x, row, labels[row])) / total) / kRows;
      for (int64_t c = 0; c < kClasses; ++c) {
        const double d = (std::exp(logit(x, row, c)) / total - (c == labels[row])) / kRows;
        for (int64_t i = 0; i < kDim; ++i) g[c * kDim + i] += d * x[row * kDim + i];
        g[kClasses * kDim + c] += d;
      }
    }
    ++t;
    for (size_t i = 0; i < w.size(); ++i) {
      const double grad = g[i] + decay * w[i];
      m[i] = 0.9 * m[i] + 0.1 * grad;
      v[i] = 0.999 * v[i] + 0.001 * grad * grad;
      w[i] -= lr * (m[i] / (1 - std::pow(0.9, t))) / (std::sqrt(v[i]) / std::sqrt(1 - std::pow(0.999, t)) + 1e-8);
    }
    return loss;
  }
};

TEST(LinearClassifier, FollowsTheDefinitionsOverSeveralUpdates) {
  const auto backend = make_backend("eigen");
  RandomStream random(1, RandomPurpose::test);
  std::vector<float> x(kRows * kDim);
  for (float& value : x) value = static_cast<float>(random.uniform(-1, 1));
  const std::vector<int32_t> labels = {0, 1, 2, 2, 1, 0};
  LinearClassifier classifier(
      *backend, {.dim = kDim, .classes = kClasses, .max_rows = kRows, .lr = 0.05, .weight_decay = 0.01, .seed = 3});

  // The initial values, read through logits of zero and unit inputs.
  Oracle oracle;
  oracle.w.resize(kClasses * (kDim + 1));
  std::vector<float> probe((kDim + 1) * kDim, 0.0f);
  for (int64_t d = 0; d < kDim; ++d) probe[(d + 1) * kDim + d] = 1.0f;
  LinearClassifier twin(*backend, {.dim = kDim, .classes = kClasses, .max_rows = kDim + 1, .seed = 3});
  const auto at = twin.logits(tensor_of(static_cast<const float*>(probe.data()), {kDim + 1, kDim}));
  for (int64_t c = 0; c < kClasses; ++c) {
    oracle.w[kClasses * kDim + c] = at[c];
    for (int64_t d = 0; d < kDim; ++d) oracle.w[c * kDim + d] = double{at[(d + 1) * kClasses + c]} - at[c];
  }
  for (const double value : oracle.w) EXPECT_LE(std::abs(value), 1 / std::sqrt(double{kDim}) + 1e-6);
  oracle.m.assign(oracle.w.size(), 0);
  oracle.v.assign(oracle.w.size(), 0);

  const auto features = tensor_of(static_cast<const float*>(x.data()), {kRows, kDim});
  const auto targets = tensor_of(labels.data(), {kRows});
  for (int step = 0; step < 20; ++step)
    EXPECT_NEAR(classifier.train(features, targets), oracle.train(x, labels, 0.05, 0.01), 2e-5) << "update " << step;
  const auto logits = classifier.logits(features);
  for (int64_t row = 0; row < kRows; ++row)
    for (int64_t c = 0; c < kClasses; ++c) EXPECT_NEAR(logits[row * kClasses + c], oracle.logit(x, row, c), 1e-4);
}

TEST(LinearClassifier, GivesTheGradientOfItsInput) {
  const auto backend = make_backend("eigen");
  LinearClassifier classifier(*backend, {.dim = kDim, .classes = kClasses, .max_rows = kRows, .lr = 1, .seed = 3});
  RandomStream random(2, RandomPurpose::test);
  std::vector<float> x(kRows * kDim), dx(x.size());
  for (float& value : x) value = static_cast<float>(random.uniform(-1, 1));
  const std::vector<int32_t> labels = {0, 1, 2, 2, 1, 0};
  const LinearValues before = classifier.values();
  const auto loss = [&](const std::vector<float>& at) {
    double sum = 0;
    for (int64_t row = 0; row < kRows; ++row) {
      double total = 0, own = 0;
      for (int64_t c = 0; c < kClasses; ++c) {
        double logit = before.bias[c];
        for (int64_t d = 0; d < kDim; ++d) logit += double{before.weight[c * kDim + d]} * at[row * kDim + d];
        total += std::exp(logit);
        if (c == labels[row]) own = logit;
      }
      sum += std::log(total) - own;
    }
    return sum / kRows;
  };
  classifier.train(tensor_of(static_cast<const float*>(x.data()), {kRows, kDim}), tensor_of(labels.data(), {kRows}),
                   tensor_of(dx.data(), {kRows, kDim}));
  for (size_t i = 0; i < x.size(); ++i) {
    constexpr float kStep = 0x1p-10f;
    std::vector<float> up = x, down = x;
    up[i] += kStep, down[i] -= kStep;
    EXPECT_NEAR(dx[i], (loss(up) - loss(down)) / (double{up[i]} - double{down[i]}), 1e-6) << i;
  }
}

TEST(LinearClassifier, ComputesWithTheValuesItIsGiven) {
  const auto backend = make_backend("eigen");
  const ClassifierSettings settings{.dim = 2, .classes = 3, .max_rows = 1};
  LinearClassifier classifier(*backend, settings);
  const LinearValues values{{1, 2, 3, 4, 5, 6}, {10, 20, 30}};
  classifier.set(values);
  const float x[] = {1, -1};
  EXPECT_EQ(classifier.logits(tensor_of(x, {1, 2})), (std::vector<float>{9, 19, 29}));
  EXPECT_EQ(classifier.values().weight, values.weight);
  EXPECT_EQ(classifier.values().bias, values.bias);
  EXPECT_THROW(classifier.set({{1, 2}, {3}}), Error);
}

TEST(LinearClassifier, NonFiniteLossIsRefusedBeforeTheUpdate) {
  const auto backend = make_backend("eigen");
  LinearClassifier classifier(*backend, {.dim = 2, .classes = 2, .max_rows = 1});
  const float good[] = {1, 2}, bad[] = {std::numeric_limits<float>::quiet_NaN(), 1};
  const int32_t label[] = {1};
  const auto before = classifier.logits(tensor_of(good, {1, 2}));
  try {
    classifier.train(tensor_of(bad, {1, 2}), tensor_of(label, {1}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::numerical);
  }
  EXPECT_EQ(classifier.logits(tensor_of(good, {1, 2})), before);
}

TEST(LinearClassifier, ScoresAfterAnUpdateThatWentWrongAreRefused) {
  const auto backend = make_backend("eigen");
  LinearClassifier classifier(*backend, {.dim = 2, .classes = 2, .max_rows = 1, .lr = 1e300});
  const float x[] = {1, 2};
  const int32_t label[] = {1};
  EXPECT_TRUE(std::isfinite(classifier.train(tensor_of(x, {1, 2}), tensor_of(label, {1}))));
  try {
    classifier.logits(tensor_of(x, {1, 2}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::numerical);
  }
}

TEST(TopK, CountsLabelsAmongTheHighest) {
  const std::vector<float> scores = {3, 2, 1, /**/ 1, 2, 3, /**/ 5, 5, 5};
  EXPECT_DOUBLE_EQ(top_k_percent(scores, {0, 0, 0}, 3, 1), 100.0 * 2 / 3);
  EXPECT_DOUBLE_EQ(top_k_percent(scores, {0, 0, 1}, 3, 1), 100.0 / 3) << "equal scores go to the smaller class";
  EXPECT_DOUBLE_EQ(top_k_percent(scores, {2, 1, 1}, 3, 2), 100.0 * 2 / 3);
  EXPECT_DOUBLE_EQ(top_k_percent(scores, {2, 0, 2}, 3, 5), 100.0) << "k above the number of classes";
  EXPECT_DOUBLE_EQ(top_k_percent({std::nanf(""), 1}, {0}, 2, 1), 0.0) << "a score that is no number is no hit";
}

}  // namespace
}  // namespace dcl
