#include "train/knn.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "core/rows.h"

namespace dcl {
namespace {

constexpr int64_t kQueryPiece = 256;
constexpr int64_t kBankPiece = 8192;
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

}  // namespace

KnnClassifier::KnnClassifier(Backend& backend, const KnnSettings& settings, ConstTensorRef bank,
                             std::span<const int32_t> labels)
    : backend_(backend), settings_(settings), bank_(bank), labels_(labels.begin(), labels.end()) {
  if (settings.k < 1 || !(settings.temperature > 0) || settings.classes < 1)
    fail(ErrorKind::usage, "kNN: k, temperature and the number of classes must be positive");
  if (bank.shape.rank() != 2 || bank.shape[0] < 1 || bank.dtype != DType::f32)
    fail(ErrorKind::internal, "kNN: bank is " + bank.shape.text() + ", expected f32 [rows, dim]");
  check_labels("bank", labels, bank.shape[0], settings.classes);
  settings_.k = std::min(settings.k, bank.shape[0]);
  const int64_t piece = std::min(kBankPiece, bank.shape[0]);
  const auto floats = [](int64_t count) { return static_cast<size_t>(count) * sizeof(float); };
  similarities_ = Buffer(backend, floats(kQueryPiece * piece));
  values_ = Buffer(backend, floats(kQueryPiece * settings_.k));
  indices_ = Buffer(backend, floats(kQueryPiece * settings_.k));
  const auto entries = static_cast<size_t>(kQueryPiece * settings_.k);
  for (Neighbours* list : {&best_, &piece_}) list->similarity.resize(entries), list->index.resize(entries);
  merged_.similarity.resize(static_cast<size_t>(settings_.k)), merged_.index.resize(static_cast<size_t>(settings_.k));
  found_.resize(kQueryPiece);
}

/// The neighbours of at most kQueryPiece queries into best_.
void KnnClassifier::search(ConstTensorRef queries) {
  const int64_t count = queries.shape[0], bank_rows = bank_.shape[0];
  std::fill(found_.begin(), found_.end(), 0);
  for (int64_t begin = 0; begin < bank_rows; begin += kBankPiece) {
    const int64_t width = std::min(kBankPiece, bank_rows - begin), k = std::min(settings_.k, width);
    GemmDesc product{count, width, bank_.shape[1]};
    product.trans_b = true;
    const TensorRef similarity = similarities_.view({count, width}, DType::f32);
    const TensorRef values = values_.view({count, k}, DType::f32), indices = indices_.view({count, k}, DType::i32);
    backend_.gemm(product, queries, rows(bank_, begin, width), {}, similarity);
    backend_.top_k(similarity, values, indices);
    backend_.copy_out(piece_.similarity.data(), values);
    backend_.copy_out(piece_.index.data(), indices);
    for (int64_t query = 0; query < count; ++query) merge(query, begin, k);
  }
}

/// Joins what a piece of the bank gave with what earlier pieces gave; earlier rows win ties, as they have smaller
/// indices.
void KnnClassifier::merge(int64_t query, int64_t bank_begin, int64_t found) {
  float* similarity = best_.similarity.data() + query * settings_.k;
  int32_t* index = best_.index.data() + query * settings_.k;
  const float* new_similarity = piece_.similarity.data() + query * found;
  const int32_t* new_index = piece_.index.data() + query * found;
  const int64_t old_count = found_[static_cast<size_t>(query)], total = std::min(settings_.k, old_count + found);
  int64_t from_old = 0, from_new = 0;
  for (int64_t i = 0; i < total; ++i) {
    const bool old = from_old < old_count && (from_new >= found || !(new_similarity[from_new] > similarity[from_old]));
    merged_.similarity[static_cast<size_t>(i)] = old ? similarity[from_old] : new_similarity[from_new];
    merged_.index[static_cast<size_t>(i)] =
        old ? index[from_old] : static_cast<int32_t>(bank_begin) + new_index[from_new];
    ++(old ? from_old : from_new);
  }
  std::copy_n(merged_.similarity.begin(), total, similarity);
  std::copy_n(merged_.index.begin(), total, index);
  found_[static_cast<size_t>(query)] = total;
}

void KnnClassifier::vote(int64_t query, double* scores) const {
  std::fill_n(scores, settings_.classes, 0.0);
  const auto exponent = [&](float similarity) { return static_cast<double>(similarity) / settings_.temperature; };
  // At a temperature so low that weights would be infinite, or all 0, they are all scaled by one factor.
  const float nearest = best_.similarity[static_cast<size_t>(query * settings_.k)];
  const double highest = std::clamp(exponent(nearest), -kMaxExponent, kMaxExponent);
  for (int64_t i = 0; i < found_[static_cast<size_t>(query)]; ++i) {
    const auto entry = static_cast<size_t>(query * settings_.k + i);
    const int32_t label = labels_[static_cast<size_t>(best_.index[entry])];
    scores[label] += std::exp(highest + exponent(best_.similarity[entry] - nearest));
  }
}

std::vector<double> KnnClassifier::scores(ConstTensorRef queries) {
  if (queries.shape.rank() != 2 || queries.shape[1] != bank_.shape[1] || queries.dtype != DType::f32)
    fail(ErrorKind::internal, "kNN: queries are " + queries.shape.text() + ", expected f32 [queries, " +
                                  std::to_string(bank_.shape[1]) + "]");
  const int64_t count = queries.shape[0];
  std::vector<double> scores(static_cast<size_t>(count * settings_.classes));
  for (int64_t begin = 0; begin < count; begin += kQueryPiece) {
    const int64_t piece = std::min(kQueryPiece, count - begin);
    search(rows(queries, begin, piece));
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
