#include "train/linear_classifier.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "math/philox.h"

namespace dcl {

LinearClassifier::LinearClassifier(Backend& backend, const ClassifierSettings& settings)
    : backend_(backend),
      settings_(settings),
      size_(settings.classes * (settings.dim + 1)),
      values_(backend, static_cast<size_t>(size_) * sizeof(float)),
      gradients_(backend, values_.bytes()),
      exp_avg_(backend, values_.bytes()),
      exp_avg_sq_(backend, values_.bytes()),
      rows_(backend, static_cast<size_t>(settings.max_rows * settings.dim) * sizeof(float)),
      logits_(backend, static_cast<size_t>(settings.max_rows * settings.classes) * sizeof(float)),
      dlogits_(backend, logits_.bytes()),
      loss_(backend, static_cast<size_t>(settings.max_rows) * sizeof(float)),
      host_loss_(static_cast<size_t>(settings.max_rows)),
      scalars_(backend) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(settings.dim));
  RandomStream random(settings.seed, RandomPurpose::classifier_init);
  std::vector<float> initial(static_cast<size_t>(size_));
  for (float& value : initial) value = static_cast<float>(random.uniform(-bound, bound));
  backend.copy_in(values_.view({size_}, DType::f32), initial.data());
}

void LinearClassifier::forward(ConstTensorRef x, TensorRef logits) {
  backend_.gemm({.m = x.shape[0], .n = settings_.classes, .k = settings_.dim, .trans_b = true}, x, weight(), bias(),
                logits);
}

double LinearClassifier::train(ConstTensorRef x, ConstTensorRef labels, TensorRef dx) {
  const int64_t rows = x.shape[0];
  const Shape shape{rows, settings_.classes};
  const TensorRef logits = logits_.view(shape, DType::f32), dlogits = dlogits_.view(shape, DType::f32);
  const TensorRef loss = loss_.view({rows}, DType::f32);
  forward(x, logits);
  backend_.cross_entropy({.rows = rows, .classes = settings_.classes}, logits, labels, loss, dlogits);
  backend_.copy_out(host_loss_.data(), loss);
  double sum = 0;
  for (int64_t row = 0; row < rows; ++row) sum += host_loss_[static_cast<size_t>(row)];
  const double mean = sum / static_cast<double>(rows);
  if (!std::isfinite(mean))
    fail(ErrorKind::numerical, "the classifier's loss is not finite at update " + std::to_string(updates_ + 1) +
                                   "; lower the learning rate or check the encoder");

  if (dx.data) backend_.gemm({.m = rows, .n = settings_.dim, .k = settings_.classes}, dlogits, weight(), {}, dx);
  const TensorRef dweight = gradients_.view(weight().shape, DType::f32);
  const TensorRef dbias = gradients_.view(bias().shape, DType::f32, weight().bytes());
  backend_.gemm({.m = settings_.classes, .n = settings_.dim, .k = rows, .trans_a = true}, dlogits, x, {}, dweight);
  backend_.column_sum(dlogits, dbias, Accum::overwrite);
  const AdamDesc adam{.size = size_, .weight_decay = settings_.weight_decay};
  scalars_.set(updates_++, settings_.lr, adam.beta1, adam.beta2);
  const auto flat = [this](const Buffer& buffer) { return buffer.view({size_}, DType::f32); };
  backend_.adam(adam, scalars_.tensor(), flat(values_), flat(gradients_), flat(exp_avg_), flat(exp_avg_sq_));
  return mean;
}

std::vector<float> LinearClassifier::logits(ConstTensorRef x) {
  std::vector<float> host(static_cast<size_t>(x.shape[0] * settings_.classes));
  logits(x, host);
  return host;
}

void LinearClassifier::logits(ConstTensorRef x, std::span<float> host) {
  const TensorRef logits = logits_.view({x.shape[0], settings_.classes}, DType::f32);
  forward(x, logits);
  backend_.copy_out(host.data(), logits);
  if (!std::ranges::all_of(host, [](float value) { return std::isfinite(value); }))
    fail(ErrorKind::numerical, "the classifier's scores are not finite after update " + std::to_string(updates_) +
                                   "; lower the learning rate or check the encoder");
}

TensorRef LinearClassifier::upload(std::span<const float> features) {
  const TensorRef x = rows_.view({std::ssize(features) / settings_.dim, settings_.dim}, DType::f32);
  backend_.copy_in(x, features.data());
  return x;
}

LinearValues LinearClassifier::values() const {
  LinearValues host{std::vector<float>(static_cast<size_t>(weight().shape.elements())),
                    std::vector<float>(static_cast<size_t>(settings_.classes))};
  backend_.copy_out(host.weight.data(), weight());
  backend_.copy_out(host.bias.data(), bias());
  return host;
}

void LinearClassifier::set(const LinearValues& host) {
  if (host.classes() != settings_.classes || std::ssize(host.weight) != weight().shape.elements())
    fail(ErrorKind::internal, "a classifier is given values of another size");
  backend_.copy_in(weight(), host.weight.data());
  backend_.copy_in(bias(), host.bias.data());
}

void softmax(std::span<float> row) {
  const double largest = *std::ranges::max_element(row);
  const auto weight = [largest](float logit) { return std::exp(logit - largest); };
  double sum = 0;
  for (const float logit : row) sum += weight(logit);
  for (float& value : row) value = static_cast<float>(weight(value) / sum);
}

bool in_top_k(std::span<const float> scores, int32_t label, int64_t k) {
  const float own = scores[static_cast<size_t>(label)];
  int64_t better = 0;
  for (size_t other = 0; other < scores.size(); ++other)
    better += scores[other] > own || (scores[other] == own && std::cmp_less(other, label));
  return std::isfinite(own) && better < k;
}

double top_k_percent(const std::vector<float>& scores, const std::vector<int32_t>& labels, int64_t classes, int64_t k) {
  const auto width = static_cast<size_t>(classes);
  int64_t hits = 0;
  for (size_t row = 0; row < labels.size(); ++row)
    hits += in_top_k(std::span(scores).subspan(row * width, width), labels[row], k);
  return labels.empty() ? 0.0 : 100.0 * static_cast<double>(hits) / static_cast<double>(labels.size());
}

}  // namespace dcl
