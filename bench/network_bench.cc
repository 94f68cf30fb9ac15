// ResNet-50 (CIFAR stem) as a whole: the training step of 64 views (forward, debiased objective, backward, Adam) and
// embedding with folded batch norm, each with its share of the machine's convolution floor measured beside it.
// bench/peers/network.py runs this and the peers in turn.
#include <benchmark/benchmark.h>

#include <cmath>
#include <fstream>
#include <string>

#include "conv_floor.h"
#include "core/parallel.h"
#include "core/registry.h"
#include "math/philox.h"
#include "nn/inference.h"
#include "nn/network.h"
#include "resnet_convs.h"
#include "timing.h"

namespace dcl::bench {
namespace {

void fill_uniform(TensorRef images) {
  RandomStream stream(1, RandomPurpose::test);
  for (int64_t i = 0; i < images.shape.elements(); ++i) {
    const auto value = static_cast<float>(stream.uniform(-2, 2));
    if (images.dtype == DType::f32) images.as<float>()[i] = value;
    else images.as<bf16>()[i] = bf16(value);
  }
}

double peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

/// Seconds of all convolutions in the layouts oneDNN likes best; 0 where the floor is not built in.
double floor_seconds([[maybe_unused]] int64_t batch, [[maybe_unused]] int64_t size, [[maybe_unused]] DType dtype,
                     [[maybe_unused]] bool training) {
  double total = 0;
#ifdef DCL_HAVE_FLOOR
  for (const CountedConv& conv : resnet50_convs(batch, size, dtype))
    for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_filter}) {
      if (pass != ConvPass::forward && (!training || !has_pass(conv.desc, pass))) continue;
      FloorConv floor(conv.desc, pass, !training);
      total += conv.count * best_seconds(3, [&] { floor.run(); });
    }
#endif
  return total;
}

/// A training step as dcl-pretrain's, on images that stay the same.
class Step {
 public:
  Step(Backend& backend, int64_t batch, DType dtype)
      : backend_(backend),
        store_(backend, ModelConfig{}, true),
        plan_(backend, ModelConfig{}, {.batch = batch, .views = 2, .height = 32, .width = 32, .dtype = dtype}),
        exp_avg_(backend, store_.values().bytes()),
        exp_avg_sq_(backend, store_.values().bytes()),
        scalars_(backend, kStepScalars * sizeof(float)),
        result_(backend, kObjectiveResults * sizeof(double)) {
    objective_.batch = batch;
    objective_.dim = plan_.embeddings().shape[1];
    workspace_ = Buffer(backend, backend.objective_workspace(objective_));
    store_.initialise(0);
    fill_uniform(plan_.input());
  }

  void run() {
    plan_.forward(store_);
    backend_.objective(objective_, plan_.embeddings(), {}, result_.view({kObjectiveResults}, DType::f64),
                       plan_.embedding_gradients(), {workspace_.data(), workspace_.bytes()});
    plan_.backward(store_);
    ++steps_;
    const float scalars[kStepScalars] = {1e-3f, static_cast<float>(1 - std::pow(0.9, steps_)),
                                         static_cast<float>(std::sqrt(1 - std::pow(0.999, steps_))), 1.0f};
    const TensorRef device_scalars = scalars_.view({kStepScalars}, DType::f32);
    backend_.copy_in(device_scalars, scalars);
    const TensorRef values = store_.values();
    backend_.adam({.size = values.shape.elements()}, device_scalars, values, store_.gradients(),
                  exp_avg_.view(values.shape, DType::f32), exp_avg_sq_.view(values.shape, DType::f32));
  }

 private:
  Backend& backend_;
  ParameterStore store_;
  TrainingPlan plan_;
  ObjectiveDesc objective_;
  Buffer exp_avg_, exp_avg_sq_, scalars_, result_, workspace_;
  int steps_ = 0;
};

void training_step(benchmark::State& state, DType dtype) {
  const auto backend = make_backend("auto");
  const int64_t batch = state.range(0);
  {
    Step step(*backend, batch, dtype);
    step.run();  // primitives are made here
    for (auto _ : state) step.run();
  }
  state.counters["peak_MiB"] = peak_mib();
  state.counters["floor_s"] = floor_seconds(2 * batch, 32, dtype, true);
}

void embed(benchmark::State& state, DType dtype) {
  const auto backend = make_backend("auto");
  const int64_t batch = state.range(0), size = state.range(1);
  ParameterStore store(*backend, ModelConfig{}, false);
  store.initialise(0);
  InferencePlan plan(*backend, ModelConfig{}, {.batch = batch, .height = size, .width = size, .dtype = dtype});
  plan.fold(store);
  fill_uniform(plan.input());
  plan.run();
  for (auto _ : state) plan.run();
  state.counters["images/s"] = benchmark::Counter(static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["floor_s"] = floor_seconds(batch, size, dtype, false);
}

BENCHMARK_CAPTURE(training_step, f32, DType::f32)->Arg(32)->UseRealTime()->Unit(benchmark::kSecond)->MinTime(6);
BENCHMARK_CAPTURE(training_step, bf16, DType::bf16)->Arg(32)->UseRealTime()->Unit(benchmark::kSecond)->MinTime(6);
void embed_sizes(benchmark::internal::Benchmark* bench) {
  bench->Args({32, 32})->Args({8, 96})->Args({1, 96})->UseRealTime()->Unit(benchmark::kSecond)->MinTime(2);
}
BENCHMARK_CAPTURE(embed, f32, DType::f32)->Apply(embed_sizes);
BENCHMARK_CAPTURE(embed, bf16, DType::bf16)->Apply(embed_sizes);

}  // namespace
}  // namespace dcl::bench

BENCHMARK_MAIN();
