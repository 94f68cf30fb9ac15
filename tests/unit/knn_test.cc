// Weighted kNN against its definition: banks of several pieces, ties, small banks, bad labels.
#include "train/knn.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/registry.h"
#include "math/philox.h"

namespace dcl {
namespace {

std::vector<float> unit_rows(int64_t rows, int64_t dim, uint32_t which) {
  RandomStream stream(41, RandomPurpose::test, which);
  std::vector<float> values(static_cast<size_t>(rows * dim));
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    double square = 0;
    float* at = values.data() + row * static_cast<size_t>(dim);
    for (int64_t k = 0; k < dim; ++k)
      at[k] = static_cast<float>(stream.uniform(-1, 1)), square += static_cast<double>(at[k] * at[k]);
    for (int64_t k = 0; k < dim; ++k) at[k] /= static_cast<float>(std::sqrt(square));
  }
  return values;
}

std::vector<int32_t> random_labels(int64_t rows, int64_t classes) {
  RandomStream stream(43, RandomPurpose::test);
  std::vector<int32_t> labels(static_cast<size_t>(rows));
  for (int32_t& label : labels) label = static_cast<int32_t>(stream.below(static_cast<uint64_t>(classes)));
  return labels;
}

/// Scores by sorting all similarities of one query.
std::vector<double> naive_scores(const std::vector<float>& bank, const float* query, const std::vector<int32_t>& labels,
                                 size_t dim, const KnnSettings& s) {
  std::vector<std::pair<double, size_t>> ranked;
  for (size_t row = 0; row < labels.size(); ++row) {
    double sum = 0;
    for (size_t k = 0; k < dim; ++k) sum += static_cast<double>(bank[row * dim + k]) * static_cast<double>(query[k]);
    ranked.emplace_back(-sum, row);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<double> scores(static_cast<size_t>(s.classes));
  for (size_t i = 0; i < std::min(labels.size(), static_cast<size_t>(s.k)); ++i)
    scores[static_cast<size_t>(labels[ranked[i].second])] += std::exp(-ranked[i].first / s.temperature);
  return scores;
}

TEST(Knn, ScoresMatchTheDefinitionOverSeveralPieces) {
  const auto backend = make_backend("eigen");
  const int64_t dim = 12, queries = 300;
  for (const int64_t rows : {7, 500, 17000}) {  // fewer than k; one piece; three pieces
    const std::vector<float> bank = unit_rows(rows, dim, 1), query = unit_rows(queries, dim, 2);
    const std::vector<int32_t> labels = random_labels(rows, 6);
    const KnnSettings settings{50, 0.3, 6};
    KnnClassifier knn(*backend, settings, tensor_of(bank.data(), {rows, dim}), labels);
    const std::vector<double> scores = knn.scores(tensor_of(query.data(), {queries, dim}));
    for (size_t q = 0; q < static_cast<size_t>(queries); q += 23) {
      const auto want =
          naive_scores(bank, query.data() + q * static_cast<size_t>(dim), labels, static_cast<size_t>(dim), settings);
      for (size_t c = 0; c < 6; ++c)
        EXPECT_NEAR(scores[q * 6 + c], want[c], 1e-5 * (1 + want[c])) << rows << ", query " << q;
    }
  }
}

TEST(Neighbours, BiasOverSeveralPieces) {
  const auto backend = make_backend("eigen");
  const int64_t dim = 6, rows = 17000, queries = 3, k = 40;
  const std::vector<float> bank = unit_rows(rows, dim, 3), query = unit_rows(queries, dim, 4);
  std::vector<float> bias;  // prefers later rows, and so the last piece
  for (int64_t row = 0; row < rows; ++row) bias.push_back(static_cast<float>(row) / 17000.0f);
  NeighbourSearch search(*backend, tensor_of(bank.data(), {rows, dim}), k, tensor_of(bias.data(), {rows}));
  search.search(tensor_of(query.data(), {queries, dim}));
  for (int64_t q = 0; q < queries; ++q) {
    std::vector<double> all;
    for (int64_t row = 0; row < rows; ++row) {
      double sum = bias[static_cast<size_t>(row)];
      for (int64_t d = 0; d < dim; ++d)
        sum += double{bank[static_cast<size_t>(row * dim + d)]} * double{query[static_cast<size_t>(q * dim + d)]};
      all.push_back(sum);
    }
    for (size_t i = 0; i < static_cast<size_t>(k); ++i)
      EXPECT_NEAR(search.products(q)[i], all[static_cast<size_t>(search.bank_rows(q)[i])], 1e-6);
    std::sort(all.rbegin(), all.rend());
    for (size_t i = 0; i < static_cast<size_t>(k); ++i) EXPECT_NEAR(search.products(q)[i], all[i], 1e-6);
  }
}

TEST(Knn, EarlierRowsWinTiesAcrossPieces) {
  const auto backend = make_backend("eigen");
  const int64_t rows = 20000;  // all equal: the neighbours are rows 0..k-1
  std::vector<float> bank(static_cast<size_t>(rows * 2));
  for (size_t i = 0; i < bank.size(); i += 2) bank[i] = 1;
  std::vector<int32_t> labels(static_cast<size_t>(rows), 1);
  std::fill_n(labels.begin(), 9000, 0);
  const std::vector<float> query = {1, 0};
  KnnClassifier knn(*backend, {9000, 1, 2}, tensor_of(bank.data(), {rows, 2}), labels);
  const std::vector<double> scores = knn.scores(tensor_of(query.data(), {1, 2}));
  EXPECT_NEAR(scores[0], 9000 * std::exp(1.0), 1e-6);
  EXPECT_EQ(scores[1], 0);
}

TEST(Knn, AccuracyIsInPerCentAndTopFiveCountsPlaces) {
  const auto backend = make_backend("eigen");
  // Seven classes on a line of similarities 1, 0.9, ... to the query (1, 0).
  std::vector<float> bank;
  for (int c = 0; c < 7; ++c) {
    const float cosine = 1 - 0.1f * static_cast<float>(c);
    bank.insert(bank.end(), {cosine, std::sqrt(1 - cosine * cosine)});
  }
  const std::vector<int32_t> labels = {0, 1, 2, 3, 4, 5, 6}, truth = {0, 4, 5, 0};
  const std::vector<float> queries = {1, 0, 1, 0, 1, 0, 1, 0};
  KnnClassifier knn(*backend, {7, 0.5, 7}, tensor_of(bank.data(), {7, 2}), labels);
  const KnnAccuracy accuracy = knn.accuracy(tensor_of(queries.data(), {4, 2}), truth);
  EXPECT_EQ(accuracy.top1, 50);
  EXPECT_EQ(accuracy.top5, 75);
}

TEST(Knn, WeightsStayNumbersAtAnyTemperature) {
  const auto backend = make_backend("eigen");
  const std::vector<float> bank = {1, 0, 0.9f, std::sqrt(0.19f)};
  for (const double temperature : {1e-3, 1e-5, 1e-310})
    for (const float side : {1.0f, -1.0f}) {  // nearest at 1, and at -0.9
      const std::vector<float> query = {side, 0};
      KnnClassifier knn(*backend, {2, temperature, 3}, tensor_of(bank.data(), {2, 2}), std::vector<int32_t>{2, 1});
      const std::vector<double> scores = knn.scores(tensor_of(query.data(), {1, 2}));
      EXPECT_EQ(rank_classes(scores).front(), side > 0 ? 2 : 1) << temperature;
      for (const double score : scores) EXPECT_TRUE(std::isfinite(score)) << temperature;
    }
}

TEST(Knn, RanksEqualScoresBySmallerClass) {
  const std::vector<double> scores = {0.5, 2, 0.5, 2, 0};
  EXPECT_EQ(rank_classes(scores), (std::vector<int32_t>{1, 3, 0, 2, 4}));
}

TEST(Knn, BadLabelsAreDataErrors) {
  const auto backend = make_backend("eigen");
  const std::vector<float> bank = {1, 0, 0, 1};
  const auto kind_of = [&](std::vector<int32_t> labels) {
    try {
      KnnClassifier(*backend, {1, 0.5, 2}, tensor_of(bank.data(), {2, 2}), labels);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::internal;
  };
  EXPECT_EQ(kind_of({0, -1}), ErrorKind::data);
  EXPECT_EQ(kind_of({0, 2}), ErrorKind::data);
  EXPECT_EQ(kind_of({0}), ErrorKind::data);
  KnnClassifier good(*backend, {1, 0.5, 2}, tensor_of(bank.data(), {2, 2}), std::vector<int32_t>{0, 1});
  EXPECT_THROW(good.accuracy(tensor_of(bank.data(), {2, 2}), std::vector<int32_t>{0, 5}), Error);
  EXPECT_THROW(good.scores(tensor_of(bank.data(), {1, 4})), Error);
}

}  // namespace
}  // namespace dcl
