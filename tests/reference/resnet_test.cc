// Encoder and projection head against PyTorch in double: evaluation outputs, and loss, embeddings and gradients of the
// first training step (reference/README: inputs and weights are functions of their names).
//
// Gradients: a unit whose input to ReLU lies within rounding of 0 passes its gradient on in one run and not in another,
// so f32 gradients of a deep network are not determined to 1e-3 by f32 arithmetic. The test measures how far: it
// repeats the step on images changed by less than the roundings of the forward pass and accepts what such runs differ
// by.
#include <memory>
#include <tuple>

#include "backends.h"
#include "core/buffer.h"
#include "nn/inference.h"
#include "nn/network.h"
#include "reference_file.h"
#include "resnet_reference.h"

namespace dcl {
namespace {

constexpr double kEvalTolerance = 1e-4;      // relative, per row
constexpr double kLossTolerance = 1e-4;      // absolute
constexpr double kGradientTolerance = 1e-3;  // relative L2, per parameter
constexpr double kPerturbation = 0x1p-21;    // relative change of the images: a few roundings of f32
constexpr int kPerturbedRuns = 2;
constexpr double kSpreadFactor = 3;

class ResNetReference : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  void SetUp() override {
    DCL_NEEDS_REFERENCE();
    config_.arch = std::get<0>(GetParam());
    file_ = std::make_unique<test::ReferenceFile>(config_.arch + ".safetensors");
    generate_ = std::make_unique<test::Generator>(file_->metadata("salt"));
    batch_ = std::stoll(file_->metadata("batch"));
    backend_ = make_backend(std::get<1>(GetParam()));
  }

  std::unique_ptr<ParameterStore> generated_store(bool with_gradients) const {
    auto store = std::make_unique<ParameterStore>(*backend_, config_, with_gradients);
    for (const ParameterEntry& entry : store->entries())
      if (entry.kind != ParameterKind::batches_tracked)
        store->import_tensor(entry, generate_->parameter(entry),
                             is_trainable(entry.kind) ? store->values() : store->statistics());
    return store;
  }

  std::vector<float> images(const std::string& name, int64_t count, int64_t size) const {
    const std::vector<float> nchw = generate_->uniform(config_.arch + "." + name, count * 3 * size * size, -2, 2);
    return test::nhwc(nchw, count, 3, size * size);
  }

  /// Evaluation of the reference's images of this size.
  void check_outputs(int64_t size, ConstTensorRef features, ConstTensorRef embeddings) const {
    const std::string key = "eval" + std::to_string(size);
    const auto rows = static_cast<size_t>(file_->shape(key + ".feature").at(0));
    EXPECT_LE(test::worst_row_error(test::read_back(*backend_, features), file_->f64(key + ".feature"), rows),
              kEvalTolerance);
    EXPECT_LE(test::worst_row_error(test::read_back(*backend_, embeddings), file_->f64(key + ".out"), rows),
              kEvalTolerance);
  }

  /// Rows of unit length, as the published forward() returns the features.
  TensorRef normalize(TensorRef x) const {
    const Buffer norms(*backend_, static_cast<size_t>(x.shape[0]) * sizeof(float));
    backend_->l2_normalize_forward(x, x, norms.view({x.shape[0]}, DType::f32));
    backend_->synchronize();
    return x;
  }

  ModelConfig config_;
  std::unique_ptr<test::ReferenceFile> file_;
  std::unique_ptr<test::Generator> generate_;
  std::unique_ptr<Backend> backend_;
  int64_t batch_ = 0;
};

TEST_P(ResNetReference, EvaluationWithFoldedBatchNorm) {
  const auto store = generated_store(false);
  for (const int64_t size : {32, 96}) {
    const int64_t count = file_->shape("eval" + std::to_string(size) + ".out").at(0);
    InferencePlan plan(*backend_, config_, {.batch = count, .height = size, .width = size, .head = true});
    plan.fold(*store);
    backend_->copy_in(plan.input(), images("eval.x" + std::to_string(size), count, size).data());
    plan.run();
    check_outputs(size, normalize(plan.features()), plan.embeddings());
  }
}

TEST_P(ResNetReference, EvaluationWithRunningStatistics) {
  const auto store = generated_store(false);
  for (const int64_t size : {32, 96}) {
    const int64_t count = file_->shape("eval" + std::to_string(size) + ".out").at(0);
    NetworkShape shape{.batch = count, .views = 1, .height = size, .width = size};
    shape.backward = false, shape.norm = NormMode::running;
    const TrainingPlan plan(*backend_, config_, shape);
    backend_->copy_in(plan.input(), images("eval.x" + std::to_string(size), count, size).data());
    plan.forward(*store);
    check_outputs(size, normalize(plan.features()), plan.embeddings());
  }
}

using Gradients = std::vector<std::vector<float>>;  // one per entry of the store, empty where it is not trained

/// Forward, debiased objective and backward of two views as groups of one batch.
class FirstStep {
 public:
  FirstStep(Backend& backend, ParameterStore& store, int64_t batch)
      : backend_(backend),
        store_(store),
        plan_(backend, store.config(), {.batch = batch, .views = 2}),
        result_(backend, kObjectiveResults * sizeof(double)) {
    objective_.batch = batch;
    objective_.dim = store.config().feature_dim;
    workspace_ = Buffer(backend, backend.objective_workspace(objective_));
  }

  const TrainingPlan& plan() const { return plan_; }

  /// Returns the loss.
  double run(const std::vector<float>& both_views) {
    backend_.copy_in(plan_.input(), both_views.data());
    plan_.forward(store_, false);
    const TensorRef result = result_.view({kObjectiveResults}, DType::f64);
    backend_.objective(objective_, plan_.embeddings(), {}, result, plan_.embedding_gradients(),
                       {workspace_.data(), workspace_.bytes()});
    plan_.backward(store_);
    backend_.synchronize();
    double values[kObjectiveResults];
    backend_.copy_out(values, result);
    return values[kLoss];
  }

  Gradients gradients() const {
    Gradients all;
    for (const ParameterEntry& entry : store_.entries())
      all.push_back(is_trainable(entry.kind) ? store_.export_tensor(entry, store_.gradients()) : std::vector<float>{});
    return all;
  }

 private:
  Backend& backend_;
  ParameterStore& store_;
  TrainingPlan plan_;
  ObjectiveDesc objective_;
  Buffer result_, workspace_;
};

std::vector<float> perturbed(const test::Generator& generate, int run, std::vector<float> images) {
  const std::vector<float> signs =
      generate.uniform("perturbation" + std::to_string(run), static_cast<int64_t>(images.size()), -1, 1);
  for (size_t i = 0; i < images.size(); ++i)
    images[i] *= static_cast<float>(1 + (signs[i] < 0 ? -kPerturbation : kPerturbation));
  return images;
}

TEST_P(ResNetReference, FirstTrainingStep) {
  const auto store = generated_store(true);
  FirstStep step(*backend_, *store, batch_);
  std::vector<float> views = images("step0.x1", batch_, 32);
  const std::vector<float> second = images("step0.x2", batch_, 32);
  views.insert(views.end(), second.begin(), second.end());

  std::vector<double> spread(store->entries().size(), 0.0);
  std::vector<Gradients> perturbed_runs;
  for (int run = 0; run < kPerturbedRuns; ++run) {
    step.run(perturbed(*generate_, run, views));
    perturbed_runs.push_back(step.gradients());
  }
  EXPECT_NEAR(step.run(views), file_->f64("train.losses").at(0), kLossTolerance);
  std::vector<double> embeddings = file_->f64("step0.out_1");
  const std::vector<double> rest = file_->f64("step0.out_2");
  embeddings.insert(embeddings.end(), rest.begin(), rest.end());
  EXPECT_LE(test::worst_row_error(test::read_back(*backend_, step.plan().embeddings()), embeddings,
                                  static_cast<size_t>(2 * batch_)),
            kEvalTolerance);

  const Gradients gradients = step.gradients();
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].empty()) continue;
    const ParameterEntry& entry = store->entries()[i];
    double allowed = kGradientTolerance;
    for (const Gradients& other : perturbed_runs)
      allowed = std::max(allowed, kSpreadFactor * test::relative_distance(other[i], gradients[i]));
    const double error =
        test::proven_error(test::probe(gradients[i]), file_->f64("step0.grad." + entry.name), entry.size);
    EXPECT_LE(error, allowed) << entry.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, ResNetReference,
                         testing::Combine(testing::Values("resnet18", "resnet50"),
                                          testing::ValuesIn(test::working_backends())),
                         [](const auto& info) { return std::get<0>(info.param) + "_" + std::get<1>(info.param); });

}  // namespace
}  // namespace dcl
