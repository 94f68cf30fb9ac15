// The audit of a data set against its definition, computed pair by pair in double, and against scikit-learn: several
// tiles, ties, images without labels.
#include "train/audit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/parallel.h"
#include "core/registry.h"
#include "support/audit_sets.h"

namespace dcl::test {
namespace {

/// numpy.quantile of sorted values.
double quantile(const std::vector<double>& sorted, double q) {
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const double next = sorted[std::min(below + 1, sorted.size() - 1)];
  return sorted[below] + (place - static_cast<double>(below)) * (next - sorted[below]);
}

/// Of all couples of a value of `same` and one of `different`, both sorted; ties count half.
double auc(const std::vector<double>& same, const std::vector<double>& different) {
  double wins = 0;
  for (const double value : same) {
    const auto [low, high] = std::equal_range(different.begin(), different.end(), value);
    wins += static_cast<double>(low - different.begin()) + 0.5 * static_cast<double>(high - low);
  }
  return wins / (static_cast<double>(same.size()) * static_cast<double>(different.size()));
}

double false_negatives(const Set& set, int64_t k) {
  int64_t same = 0, all = 0;
  for (int64_t i = 0; i < set.size(); ++i) {
    const int32_t label = set.labels[static_cast<size_t>(i)];
    if (label == kUnknownLabel) continue;
    std::vector<std::pair<double, int64_t>> others;
    for (int64_t j = 0; j < set.size(); ++j)
      if (j != i && set.labels[static_cast<size_t>(j)] != kUnknownLabel)
        others.emplace_back(-set.similarity(i, set, j), j);
    const auto count = std::min<size_t>(static_cast<size_t>(k), others.size());
    std::partial_sort(others.begin(), others.begin() + static_cast<std::ptrdiff_t>(count), others.end());
    for (size_t n = 0; n < count; ++n) same += set.labels[static_cast<size_t>(others[n].second)] == label;
    all += static_cast<int64_t>(count);
  }
  return static_cast<double>(same) / static_cast<double>(all);
}

void expect_spread(const std::optional<SimilaritySpread>& got, const std::vector<double>& sorted, double rounding) {
  ASSERT_TRUE(got);
  EXPECT_EQ(got->pairs, std::ssize(sorted));
  EXPECT_NEAR(got->mean, std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size()),
              rounding);
  for (size_t i = 0; i < kSimilarityQuantiles.size(); ++i)
    EXPECT_NEAR(got->quantiles[i], quantile(sorted, kSimilarityQuantiles[i]),
                rounding + (rounding > 1e-10 ? kSimilarityBin / 2 : 0));
}

/// rounding: of a similarity in f32. Where that is 0 nothing may differ, and otherwise couples of pairs that are closer
/// than a bin may be counted as tied, or the other way round.
void expect_classes(const Set& set, const AuditSettings& settings, double rounding, double auc_rounding) {
  const auto backend = make_backend("eigen");
  const std::optional<ClassAudit> got = audit(*backend, set.view(), nullptr, settings).classes;
  std::array<std::vector<double>, 2> values;
  for (int64_t i = 0; i < set.size(); ++i)
    for (int64_t j = i + 1; j < set.size(); ++j) {
      const int32_t a = set.labels[static_cast<size_t>(i)], b = set.labels[static_cast<size_t>(j)];
      if (a != kUnknownLabel && b != kUnknownLabel) values[a == b].push_back(set.similarity(i, set, j));
    }
  for (auto& sorted : values) std::sort(sorted.begin(), sorted.end());
  ASSERT_TRUE(got);
  expect_spread(got->same, values[1], rounding);
  expect_spread(got->different, values[0], rounding);
  ASSERT_TRUE(got->auc);
  EXPECT_NEAR(got->auc->value, auc(values[1], values[0]), auc_rounding + (rounding > 1e-10 ? got->auc->error : 0));
  EXPECT_NEAR(got->false_negatives, false_negatives(set, settings.k), 1e-12);
  EXPECT_NEAR(got->same_class_probability,
              static_cast<double>(values[1].size()) / static_cast<double>(values[0].size() + values[1].size()), 1e-15);
}

TEST(Audit, ClassesMatchTheDefinition) {
  for (const int64_t images : {37, 700, 1300}) {
    SCOPED_TRACE(images);
    expect_classes(make_set(Kind::uniform, images, 24, 5, 1, 0.2), {.k = 9}, 1e-6, 1e-6);
    expect_classes(make_set(Kind::tied, images, 0, 5, 2, 0.2), {.k = 9}, 1e-12, 1e-12);
  }
}

TEST(Audit, ClassesMatchTheDefinitionOverSeveralTilesOfColumns) {
  expect_classes(make_set(Kind::tied, 4500, 0, 3, 3), {.k = 30}, 1e-12, 1e-10);
}

// import numpy as np; from sklearn.metrics import roc_auc_score
// i = np.arange(12); x = np.stack([(7 * i + 3) % 11, (5 * i + 1) % 7, (3 * i + 2) % 5], 1).astype(float)
// x /= np.linalg.norm(x, axis=1, keepdims=True); y = i % 3; s = x @ x.T; a, b = np.triu_indices(12, 1)
// same = y[a] == y[b]; v = s[a, b]
// [(v[m].mean(), np.quantile(v[m], [.05, .25, .5, .75, .95])) for m in (same, ~same)]; roc_auc_score(same, v)
// np.fill_diagonal(s, -2); (y[np.argsort(-s, axis=1, kind="stable")[:, :3]] == y[:, None]).mean(); (v >= .99).sum()
TEST(Audit, ValuesOfScikitLearn) {  // 1.9.1, NumPy 2.4.6
  Set set{.dim = 3};
  for (int32_t i = 0; i < 12; ++i) {
    for (const int32_t value : {(7 * i + 3) % 11, (5 * i + 1) % 7, (3 * i + 2) % 5})
      set.features.push_back(static_cast<float>(value));
    set.labels.push_back(i % 3), set.contents.push_back(i);
  }
  normalize_rows(set.features, 3);
  const Audit got = audit(*make_backend("eigen"), set.view(), nullptr, {.k = 3, .threshold = 0.99});
  ASSERT_TRUE(got.classes && got.classes->same && got.classes->different && got.classes->auc);
  EXPECT_NEAR(got.classes->same->mean, 0.8073775930894612, 1e-7);
  EXPECT_NEAR(got.classes->different->mean, 0.7441366012193845, 1e-7);
  constexpr std::array same = {0.5430898003511092, 0.6870870583764657, 0.8502675911263176, 0.9489716481167184,
                               0.9863370573778786};
  constexpr std::array different = {0.2985118980832645, 0.6636703724594335, 0.8193810592660625, 0.9234746907548003,
                                    0.9625634209204972};
  for (size_t i = 0; i < same.size(); ++i) {
    EXPECT_NEAR(got.classes->same->quantiles[i], same[i], kSimilarityBin / 2 + 1e-7);
    EXPECT_NEAR(got.classes->different->quantiles[i], different[i], kSimilarityBin / 2 + 1e-7);
  }
  EXPECT_NEAR(got.classes->auc->value, 0.5671296296296295, 1e-12);
  EXPECT_EQ(got.classes->auc->error, 0);
  EXPECT_NEAR(got.classes->false_negatives, 0.3611111111111111, 1e-12);
  EXPECT_EQ(got.within.pairs, 2);
}

TEST(Audit, WhatThereIsNotIsLeftOut) {
  const auto backend = make_backend("eigen");
  Set set = make_set(Kind::uniform, 6, 5, 2, 4);
  const auto classes = [&] { return audit(*backend, set.view(), nullptr, {}).classes; };
  set.labels = {0, 1, 2, 3, 4, 5};
  ASSERT_TRUE(classes());
  EXPECT_FALSE(classes()->same || classes()->auc);
  EXPECT_EQ(classes()->different->pairs, 15);
  EXPECT_EQ(classes()->k, 5);
  EXPECT_EQ(classes()->false_negatives, 0);
  set.labels.assign(6, 0);
  EXPECT_FALSE(classes()->different || classes()->auc);
  EXPECT_EQ(classes()->same->pairs, 15);
  EXPECT_EQ(classes()->false_negatives, 1);
  set.labels.assign(6, kUnknownLabel);
  EXPECT_FALSE(classes());
  set.labels[3] = 0;
  EXPECT_FALSE(classes()) << "one labelled image";
  set.labels[1] = 0;
  EXPECT_EQ(classes()->images, 2);
  EXPECT_EQ(classes()->k, 1);
  EXPECT_EQ(classes()->same->quantiles[0], classes()->same->quantiles[4]) << "of one pair";
  const Set one = make_set(Kind::uniform, 1, 5, 2, 5);
  const Audit alone = audit(*backend, one.view(), nullptr, {});
  EXPECT_FALSE(alone.classes || alone.between);
  EXPECT_EQ(alone.within.pairs, 0);
  const AuditSet other = set.view();
  EXPECT_EQ(audit(*backend, one.view(), &other, {.threshold = -1}).between->pairs, 6);
}

TEST(Audit, IsTheSameForEveryNumberOfThreads) {
  const auto backend = make_backend("eigen");
  const Set set = make_set(Kind::uniform, 1500, 40, 4, 8, 0.1), more = make_set(Kind::uniform, 300, 40, 4, 9);
  const AuditSet other = more.view();
  const int before = thread_count();
  std::vector<Audit> results;
  for (const int threads : {1, 4}) {
    set_thread_count(threads);
    results.push_back(audit(*backend, set.view(), &other, {.k = 12, .threshold = 0.7, .most = 500}));
  }
  set_thread_count(before);
  const Audit &one = results[0], &four = results[1];
  EXPECT_EQ(one.pairs, four.pairs);
  EXPECT_EQ(one.pairs.size(), 500u);
  EXPECT_EQ(one.classes->same->mean, four.classes->same->mean);
  EXPECT_EQ(one.classes->different->mean, four.classes->different->mean);
  EXPECT_EQ(one.classes->same->quantiles, four.classes->same->quantiles);
  EXPECT_EQ(one.classes->auc->value, four.classes->auc->value);
  EXPECT_EQ(one.classes->false_negatives, four.classes->false_negatives);
  EXPECT_EQ(one.within, four.within);
  EXPECT_EQ(one.between, four.between);
}

TEST(Audit, ProgressEndsWithAllPairs) {
  const auto backend = make_backend("eigen");
  const Set set = make_set(Kind::tied, 1100, 0, 2, 10), more = make_set(Kind::tied, 30, 0, 2, 11);
  const AuditSet other = more.view();
  int64_t last = 0, total = 0;
  audit(*backend, set.view(), &other, {}, [&](int64_t done, int64_t all) {
    EXPECT_GT(done, last);
    last = done, total = all;
  });
  EXPECT_EQ(last, total);
  EXPECT_EQ(total, 1100 * 1099 / 2 + 1100 * 30);
}

TEST(Audit, SettingsOutOfRangeAreRefused) {
  const auto backend = make_backend("eigen");
  const Set set = make_set(Kind::tied, 4, 0, 2, 12);
  const auto kind_of = [&](const AuditSettings& settings) {
    try {
      audit(*backend, set.view(), nullptr, settings);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::internal;
  };
  for (const double threshold : {-1.01, 1.01, std::nan("")})
    EXPECT_EQ(kind_of({.threshold = threshold}), ErrorKind::usage);
  EXPECT_EQ(kind_of({.k = 0}), ErrorKind::usage);
  EXPECT_EQ(kind_of({.k = kMostAuditNeighbours + 1}), ErrorKind::usage);
  EXPECT_EQ(kind_of({.most = -1}), ErrorKind::usage);
}

TEST(SimilarityCounts, EndsAndMiddlesOfBins) {
  SimilarityCounts counts;
  for (const float similarity : {1.0f, 0.99999994f, 1.0000001f}) counts.add(true, similarity);
  for (const float similarity : {-1.0f, -1.5f, 0.0f, 0.25f}) counts.add(false, similarity);
  EXPECT_EQ(counts.quantiles(true), (std::array{1.0, 1.0, 1.0, 1.0, 1.0}));
  const auto different = counts.quantiles(false);  // numpy.quantile([-1, -1, 0, 0.25], ...)
  EXPECT_EQ(different[0], -1);
  EXPECT_EQ(different[1], -1);
  EXPECT_EQ(different[2], -0.5);
  EXPECT_DOUBLE_EQ(different[3], 0.0625);
  EXPECT_NEAR(different[4], 0.2125, 1e-12);
  EXPECT_EQ(counts.auc().value, 1);
  EXPECT_EQ(counts.auc().error, 0);
  counts.add(false, 1);  // tied with three of three
  EXPECT_NEAR(counts.auc().value, 0.9, 1e-15);
  EXPECT_NEAR(counts.auc().error, 0.1, 1e-15);
}

}  // namespace
}  // namespace dcl::test
