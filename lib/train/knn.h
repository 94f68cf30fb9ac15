// Weighted k-nearest-neighbour classification of features, the monitor of pretraining (published main.py, test; Wu et
// al. 2018): the k bank rows most similar to a query vote for their class with weight e^(similarity / t).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/backend.h"
#include "train/neighbours.h"

namespace dcl {

struct KnnSettings {
  int64_t k = 200;  ///< at most the size of the bank is used
  double temperature = 0.5;
  int64_t classes = 10;
};

/// In per cent; top5 counts the best five classes (all, where there are fewer).
struct KnnAccuracy {
  double top1 = 0, top5 = 0;
};

class KnnClassifier {
 public:
  /// bank f32 [rows, dim], rows of unit length, in memory of `backend`, both outliving this. labels: of the bank rows,
  /// in [0, classes), else Error{data}. Works in pieces of the bank, so memory does not grow with it.
  KnnClassifier(Backend& backend, const KnnSettings& settings, ConstTensorRef bank, std::span<const int32_t> labels);

  /// Class scores [queries, classes] of queries f32 [queries, dim] in the backend's memory.
  std::vector<double> scores(ConstTensorRef queries);
  /// labels: of the queries, in [0, classes), else Error{data}.
  KnnAccuracy accuracy(ConstTensorRef queries, std::span<const int32_t> labels);

 private:
  void vote(int64_t query, double* scores) const;

  KnnSettings settings_;
  ConstTensorRef bank_;
  std::vector<int32_t> labels_;
  NeighbourSearch search_;
};

/// Classes by descending score, equal scores by smaller class first.
std::vector<int32_t> rank_classes(std::span<const double> scores);

}  // namespace dcl
