#include "train/pretrain_step.h"

#include <cmath>

#include "core/error.h"
#include "train/model_file.h"

namespace dcl {
namespace {

NetworkShape shape_of(const PretrainSettings& settings) {
  return {.batch = settings.batch,
          .views = settings.views(),
          .height = settings.augment.size,
          .width = settings.augment.size,
          .dtype = settings.dtype};
}

std::string state_prefix(const Optimizer::State& state) { return "optim." + state.name + "."; }

}  // namespace

PretrainStep::PretrainStep(Backend& backend, const PretrainSettings& settings)
    : backend_(backend),
      parameters_(backend, settings.model, /*with_gradients=*/true),
      network_(backend, settings.model, shape_of(settings)),
      objective_(objective_desc(settings.objective, settings.batch, settings.views(), settings.model.feature_dim)),
      result_(backend, kObjectiveResults * sizeof(double)),
      labels_(backend, static_cast<size_t>(settings.batch) * sizeof(int32_t)),
      workspace_(backend, backend.objective_workspace(objective_)),
      square_sum_(backend, sizeof(double)),
      optimizer_(backend, parameters_, settings.optimizer) {
  parameters_.initialise(settings.seed);
}

ObjectiveReport PretrainStep::run(const Batch& batch, int64_t updates_done, double learning_rate) {
  backend_.copy(batch.views, network_.input());
  const TensorRef labels = labels_.view({objective_.batch}, DType::i32);
  if (objective_.kind == ObjectiveKind::unbiased) backend_.copy_in(labels, batch.labels.data());
  network_.forward(parameters_);
  const TensorRef result = result_.view({kObjectiveResults}, DType::f64);
  backend_.objective(objective_, network_.embeddings(), labels, result, network_.embedding_gradients(),
                     {workspace_.data(), workspace_.bytes()});
  const ObjectiveReport report = read_report(backend_, result);
  if (std::isfinite(report.loss)) {
    network_.backward(parameters_);
    optimizer_.update(updates_done, learning_rate);
  }
  return report;
}

std::vector<TensorSource> PretrainStep::model_tensors() const { return model_sources(parameters_); }

std::vector<TensorSource> PretrainStep::state_tensors() const {
  std::vector<TensorSource> sources;
  for (const Optimizer::State& state : optimizer_.state())
    append_flat_sources(parameters_, state.values, state_prefix(state), sources);
  return sources;
}

void PretrainStep::load(const SafetensorsFile& model, const SafetensorsFile& state) {
  import_model(model, parameters_);
  for (const Optimizer::State& flat : optimizer_.state()) import_flat(state, parameters_, state_prefix(flat), flat.values);
}

void PretrainStep::require_finite() {
  const auto check = [&](ConstTensorRef flat, const std::string& what) {
    const TensorRef sum = square_sum_.view({1}, DType::f64);
    backend_.sum_of_squares(flat, sum);
    double value;
    backend_.copy_out(&value, sum);
    if (!std::isfinite(value))
      fail(ErrorKind::numerical, what + " are not finite: no checkpoint is written; lower the learning rate and continue from the last one");
  };
  check(parameters_.values(), "weights");
  check(parameters_.statistics(), "running statistics of batch norm");
  for (const Optimizer::State& state : optimizer_.state()) check(state.values, "optimizer state");
}

}  // namespace dcl
