// Weighted kNN: class scores, ranking of classes and accuracies against values computed in double.
//
// Similarities are f32 sums over `dim` products of unit vectors: each is off by at most (dim + 2) 2^-24, its weight by
// that over t relative, and so is a sum of weights. Where two classes are closer than that their order is not judged.
#include "train/knn.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backends.h"
#include "reference_file.h"

namespace dcl {
namespace {

struct Reference {
  test::ReferenceFile file{"knn.safetensors"};
  int64_t rows = file.shape("bank")[0], dim = file.shape("bank")[1], queries = file.shape("query")[0];
  KnnSettings settings{std::stoll(file.metadata("k")), std::stod(file.metadata("temperature")),
                       std::stoll(file.metadata("classes"))};
  std::vector<double> scores = file.f64("score");
  std::vector<int64_t> prediction = file.i64("prediction");

  double relative() const { return static_cast<double>(dim + 2) * 0x1p-24 / settings.temperature; }
  std::vector<int32_t> labels(const char* of) const {
    const std::vector<int64_t> values = file.i64(of);
    return {values.begin(), values.end()};
  }
};

struct Outcome {
  std::vector<double> scores;
  KnnAccuracy accuracy;
};

Outcome classify(Backend& backend, const Reference& r) {
  const std::vector<double> bank = r.file.f64("bank"), query = r.file.f64("query");
  const std::vector<float> bank_f32(bank.begin(), bank.end()), query_f32(query.begin(), query.end());
  const Buffer bank_memory(backend, bank.size() * 4), query_memory(backend, query.size() * 4);
  const TensorRef bank_view = bank_memory.view({r.rows, r.dim}, DType::f32);
  const TensorRef query_view = query_memory.view({r.queries, r.dim}, DType::f32);
  backend.copy_in(bank_view, bank_f32.data());
  backend.copy_in(query_view, query_f32.data());
  KnnClassifier knn(backend, r.settings, bank_view, r.labels("bank_labels"));
  return {knn.scores(query_view), knn.accuracy(query_view, r.labels("query_labels"))};
}

/// Scores that differ by more than rounding, and rankings that differ where scores do.
int64_t disagreements(const Reference& r, const std::vector<double>& got) {
  const auto classes = static_cast<size_t>(r.settings.classes);
  int64_t count = 0;
  for (size_t query = 0; query < static_cast<size_t>(r.queries); ++query) {
    const double* want = r.scores.data() + query * classes;
    const std::vector<int32_t> ranked = rank_classes(std::span(got).subspan(query * classes, classes));
    for (size_t c = 0; c < classes; ++c) {
      const double allowed = r.relative() * want[c];
      count += !(std::abs(got[query * classes + c] - want[c]) <= allowed);
      const auto expected = static_cast<size_t>(r.prediction[query * classes + c]);
      const auto found = static_cast<size_t>(ranked[c]);
      count += expected != found && std::abs(want[expected] - want[found]) > 2 * allowed;
    }
  }
  return count;
}

TEST(KnnReference, ScoresPredictionsAndAccuracyOnEveryBackend) {
  DCL_NEEDS_REFERENCE();
  const Reference r;
  for (const std::string& name : test::working_backends()) {
    const Outcome got = classify(*make_backend(name), r);
    EXPECT_EQ(disagreements(r, got.scores), 0) << name;
    EXPECT_NEAR(got.accuracy.top1, 100 * std::stod(r.file.metadata("top1")), 1e-9) << name;
    EXPECT_NEAR(got.accuracy.top5, 100 * std::stod(r.file.metadata("top5")), 1e-9) << name;
  }
}

TEST(KnnReference, PlantedErrorsAreSeen) {
  DCL_NEEDS_REFERENCE();
  const Reference r;
  EXPECT_EQ(disagreements(r, r.scores), 0);
  std::vector<double> wrong = r.scores;
  const auto largest = std::max_element(wrong.begin(), wrong.end());
  *largest *= 1 + 3 * r.relative();
  EXPECT_GT(disagreements(r, wrong), 0);
}

}  // namespace
}  // namespace dcl
