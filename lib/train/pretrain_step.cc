#include "train/pretrain_step.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "io/fault.h"
#include "math/bfloat16.h"
#include "train/model_file.h"

namespace dcl {
namespace {

NetworkShape part_of(const PretrainSettings& settings) {
  return {.batch = settings.part(),
          .views = settings.views(),
          .height = settings.augment.size,
          .width = settings.augment.size,
          .dtype = settings.dtype,
          .bn_groups = settings.bn_groups,
          .activations = Activations::keep_if_roomy};
}

/// Read on the host: for messages, not for every step.
bool values_are_finite(Backend& backend, ConstTensorRef tensor) {
  const auto size = static_cast<size_t>(tensor.shape.elements());
  const auto all_finite = [](const auto& values) {
    return std::all_of(values.begin(), values.end(),
                       [](auto value) { return std::isfinite(static_cast<float>(value)); });
  };
  if (tensor.dtype == DType::bf16) {
    std::vector<bf16> values(size);
    backend.copy_out(values.data(), tensor);
    return all_finite(values);
  }
  std::vector<float> values(size);
  backend.copy_out(values.data(), tensor);
  return all_finite(values);
}

std::string state_prefix(const Optimizer::State& state) { return "optim." + state.name + "."; }

}  // namespace

PretrainStep::PretrainStep(Backend& backend, const PretrainSettings& settings, bool use_graph)
    : backend_(backend),
      parameters_(backend, settings.model, /*with_gradients=*/true),
      network_(backend, settings.model, part_of(settings), settings.batch),
      objective_(objective_desc(settings.objective, settings.batch, settings.views(), settings.model.feature_dim)),
      input_(backend, augment_desc(settings.augment), settings.batch, settings.views()),
      result_(backend, kObjectiveResults * sizeof(double)),
      workspace_(backend, backend.objective_workspace(objective_)),
      statistics_before_(backend, parameters_.statistics().bytes()),
      finite_(backend),
      optimizer_(backend, parameters_, settings.optimizer),
      results_(backend, kMostPending * kObjectiveResults * sizeof(double)),
      use_graph_(use_graph) {
  for (int64_t i = 0; i < kMostPending; ++i) arrived_.push_back(backend.make_fence());
  parameters_.initialise(settings.seed);
}

TensorRef PretrainStep::statistics_before() const {
  return statistics_before_.view(parameters_.statistics().shape, DType::f32);
}

void PretrainStep::enqueue(bool plant_fault) {
  const TensorRef result = result_.view({kObjectiveResults}, DType::f64);
  backend_.copy(parameters_.statistics(), statistics_before());
  network_.forward(input_, parameters_);
  if (plant_fault)
    backend_.fill({network_.embeddings().data, {1}, DType::f32}, std::numeric_limits<float>::quiet_NaN());
  backend_.objective(objective_, network_.embeddings(), input_.labels(), result, network_.embedding_gradients(),
                     {workspace_.data(), workspace_.bytes()});
  network_.backward(input_, parameters_);
  optimizer_.update(result);
}

size_t PretrainStep::memory() const {
  size_t bytes =
      network_.memory() + workspace_.bytes() + parameters_.values().bytes() + parameters_.gradients().bytes();
  for (const Optimizer::State& state : optimizer_.state()) bytes += state.values.bytes();
  return bytes;
}

void PretrainStep::set_beta(double beta) {
  if (pending() > 0) fail(ErrorKind::internal, "beta changes between steps");
  objective_.beta = beta;
  graph_.reset();
  ran_op_by_op_ = false;  // another beta may take other kernels
  if (const size_t bytes = backend_.objective_workspace(objective_); bytes > workspace_.bytes())
    workspace_ = Buffer(backend_, bytes);
}

double* PretrainStep::result_of(int64_t step) const {
  return reinterpret_cast<double*>(results_.data()) + step % kMostPending * kObjectiveResults;
}

void PretrainStep::run(const Batch& batch, int64_t updates_done, double learning_rate) {
  if (pending() == kMostPending) fail(ErrorKind::internal, "too many steps without a report");
  if (batch.images != objective_.batch) fail(ErrorKind::internal, "a step takes whole batches");
  input_.upload(batch);
  optimizer_.prepare(updates_done, learning_rate);
  if (use_graph_ && ran_op_by_op_ && !graph_) graph_ = backend_.capture([this] { enqueue(); });
  const bool plant_fault = failpoint(IoOp::embeddings).not_a_number;  // a graph replays what it was recorded with
  graph_ && !plant_fault ? graph_->replay() : enqueue(plant_fault);
  ran_op_by_op_ = true;
  network_.count_batches(parameters_);
  backend_.enqueue_out(result_of(enqueued_), result_.view({kObjectiveResults}, DType::f64));
  arrived_[static_cast<size_t>(enqueued_ % kMostPending)]->record();
  ++enqueued_;
}

ObjectiveReport PretrainStep::report() {
  if (pending() == 0) fail(ErrorKind::internal, "no step to report");
  arrived_[static_cast<size_t>(reported_ % kMostPending)]->wait();
  const ObjectiveReport report = report_of(result_of(reported_++));
  if (!std::isfinite(report.loss) && pending() == 0) {
    backend_.copy(statistics_before(), parameters_.statistics());
    network_.count_batches(parameters_, -1);
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
  for (const Optimizer::State& flat : optimizer_.state())
    import_flat(state, parameters_, state_prefix(flat), flat.values);
}

std::string PretrainStep::non_finite_state() const {
  if (!finite_(parameters_.values())) return "weights";
  if (!finite_(parameters_.statistics())) return "running statistics of batch norm";
  for (const Optimizer::State& state : optimizer_.state())
    if (!finite_(state.values)) return "optimizer state";
  return "";
}

std::string PretrainStep::first_non_finite() {
  bool images = true, features = true;
  network_.inspect(input_, parameters_, [&](const TrainingPlan& part) {
    images = images && values_are_finite(backend_, part.input());
    features = features && values_are_finite(backend_, part.features());
  });
  if (!images) return "input images";
  if (const std::string state = non_finite_state(); !state.empty()) return state;
  if (!features) return "features";
  return values_are_finite(backend_, network_.embeddings()) ? "loss" : "embeddings";
}

}  // namespace dcl
