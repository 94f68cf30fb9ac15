// A linear classifier on features, trained by cross-entropy and Adam: nn.Linear(dim, classes) with PyTorch's default
// initialisation (SEMANTICS 2.7-25).
#pragma once

#include <vector>

#include "core/backend.h"
#include "train/step_scalars.h"

namespace dcl {

struct ClassifierSettings {
  int64_t dim = 1, classes = 2;
  int64_t max_rows = 1;  ///< largest batch
  double lr = 1e-3, weight_decay = 1e-6;
  uint64_t seed = 0;
};

class LinearClassifier {
 public:
  LinearClassifier(Backend& backend, const ClassifierSettings& settings);

  /// One Adam update on x f32 [rows, dim] and labels i32 [rows] in [0, classes), rows <= max_rows, in backend memory.
  /// Returns the mean loss before the update; Error{numerical}, with nothing updated, when it is not finite.
  double train(ConstTensorRef x, ConstTensorRef labels);

  /// Logits of x on the host, [rows, classes].
  std::vector<float> logits(ConstTensorRef x);

 private:
  TensorRef weight() const { return values_.view({settings_.classes, settings_.dim}, DType::f32); }
  TensorRef bias() const { return values_.view({settings_.classes}, DType::f32, weight().bytes()); }
  void forward(ConstTensorRef x, TensorRef logits);

  Backend& backend_;
  ClassifierSettings settings_;
  int64_t size_;
  Buffer values_, gradients_, exp_avg_, exp_avg_sq_;  // weight [classes, dim], then bias [classes]
  Buffer logits_, dlogits_, loss_;                    // of max_rows
  std::vector<float> host_loss_;
  StepScalars scalars_;
  int64_t updates_ = 0;
};

/// Share in percent of rows of scores [rows, classes] whose label is among the k highest (equal scores: smaller class
/// first).
double top_k_percent(const std::vector<float>& scores, const std::vector<int32_t>& labels, int64_t classes, int64_t k);

}  // namespace dcl
