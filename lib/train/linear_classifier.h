// A linear classifier on features, trained by cross-entropy and Adam: nn.Linear(dim, classes) with PyTorch's default
// initialisation.
#pragma once

#include <span>
#include <vector>

#include "core/backend.h"
#include "train/step_scalars.h"

namespace dcl {

/// The values of nn.Linear(dim, classes), in PyTorch's layout.
struct LinearValues {
  std::vector<float> weight;  ///< [classes, dim]
  std::vector<float> bias;    ///< [classes]

  int64_t classes() const { return static_cast<int64_t>(bias.size()); }
};

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
  /// dx, where given, f32 like x: becomes the gradient of that loss.
  double train(ConstTensorRef x, ConstTensorRef labels, TensorRef dx = {});

  /// Features on the host, [rows, dim], rows <= max_rows, as x of what follows: in backend memory until the next
  /// upload.
  TensorRef upload(std::span<const float> features);

  LinearValues values() const;
  /// Error{internal} when they are of another size.
  void set(const LinearValues& values);

  /// Logits of x on the host, [rows, classes]; Error{numerical} when one is not finite.
  std::vector<float> logits(ConstTensorRef x);
  void logits(ConstTensorRef x, std::span<float> host);

 private:
  TensorRef weight() const { return values_.view({settings_.classes, settings_.dim}, DType::f32); }
  TensorRef bias() const { return values_.view({settings_.classes}, DType::f32, weight().bytes()); }
  void forward(ConstTensorRef x, TensorRef logits);

  Backend& backend_;
  ClassifierSettings settings_;
  int64_t size_;
  Buffer values_, gradients_, exp_avg_, exp_avg_sq_;  // weight [classes, dim], then bias [classes]
  Buffer rows_, logits_, dlogits_, loss_;             // of max_rows
  std::vector<float> host_loss_;
  StepScalars scalars_;
  int64_t updates_ = 0;
};

/// Logits of one row become probabilities, computed in double.
void softmax(std::span<float> row);

/// Whether the label is among the k highest of one row of scores (equal scores: smaller class first). Never where its
/// score is not finite.
bool in_top_k(std::span<const float> scores, int32_t label, int64_t k);

/// Share in percent of rows of scores [rows, classes] for which that holds.
double top_k_percent(const std::vector<float>& scores, const std::vector<int32_t>& labels, int64_t classes, int64_t k);

}  // namespace dcl
