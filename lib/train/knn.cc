#include "train/knn.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "core/rows.h"

namespace dcl {
namespace {

constexpr double kMaxExponent = 600;  // e^600 times as many neighbours as there may be is finite

void check_labels(const char* of, std::span<const int32_t> labels, int64_t rows, int64_t classes) {
  if (static_cast<int64_t>(labels.size()) != rows)
    fail(ErrorKind::data, std::string("kNN: ") + std::to_string(labels.size()) + " labels for " + std::to_string(rows) +
                              ' ' + of + " features, expected one each");
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] < 0 || labels[i] >= classes)
      fail(ErrorKind::data, std::string("kNN: label ") + std::to_string(labels[i]) + " of " + of + " image " +
                                std::to_string(i) + ", expected 0.." + std::to_string(classes - 1) +
                                ": use a labelled split");
}

/// Before anything is made of them.
const KnnSettings& checked(const KnnSettings& settings) {
  if (settings.k < 1 || !(settings.temperature > 0) || settings.classes < 1)
    fail(ErrorKind::usage, "kNN: k, temperature and the number of classes must be positive");
  return settings;
}

}  // namespace

KnnClassifier::KnnClassifier(Backend& backend, const KnnSettings& settings, ConstTensorRef bank,
                             std::span<const int32_t> labels)
    : settings_(checked(settings)),
      bank_(bank),
      labels_(labels.begin(), labels.end()),
      search_(backend, bank, settings.k) {
  check_labels("bank", labels, bank.shape[0], settings.classes);
}

void KnnClassifier::vote(int64_t query, double* scores) const {
  std::fill_n(scores, settings_.classes, 0.0);
  const auto exponent = [&](float similarity) { return static_cast<double>(similarity) / settings_.temperature; };
  // At a temperature so low that weights would be infinite, or all 0, they are all scaled by one factor.
  const auto similarities = search_.products(query);
  const auto neighbours = search_.bank_rows(query);
  const double highest = std::clamp(exponent(similarities[0]), -kMaxExponent, kMaxExponent);
  for (size_t i = 0; i < similarities.size(); ++i) {
    const int32_t label = labels_[static_cast<size_t>(neighbours[i])];
    scores[label] += std::exp(highest + exponent(similarities[i] - similarities[0]));
  }
}

std::vector<double> KnnClassifier::scores(ConstTensorRef queries) {
  if (queries.shape.rank() != 2 || queries.shape[1] != bank_.shape[1] || queries.dtype != DType::f32)
    fail(ErrorKind::internal, "kNN: queries are " + queries.shape.text() + ", expected f32 [queries, " +
                                  std::to_string(bank_.shape[1]) + "]");
  const int64_t count = queries.shape[0];
  std::vector<double> scores(static_cast<size_t>(count * settings_.classes));
  for (int64_t begin = 0; begin < count; begin += NeighbourSearch::kMaxQueries) {
    const int64_t piece = std::min(NeighbourSearch::kMaxQueries, count - begin);
    search_.search(rows(queries, begin, piece));
    for (int64_t query = 0; query < piece; ++query) vote(query, scores.data() + (begin + query) * settings_.classes);
  }
  return scores;
}

KnnAccuracy KnnClassifier::accuracy(ConstTensorRef queries, std::span<const int32_t> labels) {
  check_labels("query", labels, queries.shape[0], settings_.classes);
  const std::vector<double> all = scores(queries);
  const auto classes = static_cast<size_t>(settings_.classes);
  int64_t first = 0, five = 0;
  for (size_t query = 0; query < labels.size(); ++query) {
    const std::vector<int32_t> ranked = rank_classes(std::span(all).subspan(query * classes, classes));
    const auto place = std::find(ranked.begin(), ranked.end(), labels[query]) - ranked.begin();
    first += place < 1;
    five += place < 5;
  }
  const auto percent = [&](int64_t hits) {
    return labels.empty() ? 0.0 : 100.0 * static_cast<double>(hits) / static_cast<double>(labels.size());
  };
  return {percent(first), percent(five)};
}

std::vector<int32_t> rank_classes(std::span<const double> scores) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  return order;
}

}  // namespace dcl
