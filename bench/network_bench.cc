// ResNet-50 (CIFAR stem) as a whole: the training step of 64 views (forward, debiased objective, backward, Adam) and
// embedding with folded batch norm, each with its share of the machine's convolution floor measured beside it.
// bench/peers/network.py runs this and the peers in turn. DCL_BENCH_DEVICE names the backend; on a GPU the step is a
// replayed graph of 512 views.
#include <benchmark/benchmark.h>

#include <cmath>
#include <fstream>
#include <memory>
#include <string>

#include "conv_floor.h"
#include "core/parallel.h"
#include "core/registry.h"
#include "device.h"
#include "nn/inference.h"
#include "nn/network.h"
#include "resnet_convs.h"
#include "timing.h"
#include "values.h"

namespace dcl::bench {
namespace {

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
        plan_(backend, ModelConfig{}, {.batch = batch, .views = 2, .height = 32, .width = 32, .dtype = dtype, .activations = Activations::keep_if_roomy}),
        exp_avg_(backend, store_.values().bytes()),
        exp_avg_sq_(backend, store_.values().bytes()),
        scalars_(backend, kStepScalars * sizeof(float)),
        result_(backend, kObjectiveResults * sizeof(double)) {
    objective_.batch = batch;
    objective_.dim = plan_.embeddings().shape[1];
    workspace_ = Buffer(backend, backend.objective_workspace(objective_));
    store_.initialise(0);
    fill_uniform(backend, plan_.input());
  }

  /// Once as it is, which also makes the primitives, then as a recorded graph.
  void prepare() {
    set_scalars();
    enqueue();
    backend_.synchronize();
    graph_ = backend_.capture([this] { enqueue(); });
  }

  void run() {
    set_scalars();
    graph_->replay();
    backend_.synchronize();
  }

 private:
  void enqueue() {
    plan_.forward(store_);
    backend_.objective(objective_, plan_.embeddings(), {}, result_.view({kObjectiveResults}, DType::f64),
                       plan_.embedding_gradients(), {workspace_.data(), workspace_.bytes()});
    plan_.backward(store_);
    const TensorRef values = store_.values();
    backend_.adam({.size = values.shape.elements()}, scalars_.view({kStepScalars}, DType::f32), values,
                  store_.gradients(), exp_avg_.view(values.shape, DType::f32),
                  exp_avg_sq_.view(values.shape, DType::f32));
  }

  void set_scalars() {
    ++steps_;
    const float scalars[kStepScalars] = {1e-3f, static_cast<float>(1 - std::pow(0.9, steps_)),
                                         static_cast<float>(std::sqrt(1 - std::pow(0.999, steps_))), 1.0f};
    backend_.copy_in(scalars_.view({kStepScalars}, DType::f32), scalars);
  }

  Backend& backend_;
  ParameterStore store_;
  TrainingPlan plan_;
  ObjectiveDesc objective_;
  Buffer exp_avg_, exp_avg_sq_, scalars_, result_, workspace_;
  int steps_ = 0;
  std::unique_ptr<StepGraph> graph_;  // of the members above
};

void training_step(benchmark::State& state, DType dtype, F32Math math) {
  const auto backend = bench_backend("auto");
  backend->set_f32_math(math);
  const int64_t batch = state.range(0);
  const size_t free_before = backend->free_memory();
  {
    Step step(*backend, batch, dtype);
    step.prepare();
    for (auto _ : state) step.run();
    if (on_gpu(*backend))
      state.counters["device_MiB"] = static_cast<double>(free_before - backend->free_memory()) / (1 << 20);
  }
  state.counters["views/s"] =
      benchmark::Counter(static_cast<double>(2 * batch), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["peak_MiB"] = peak_mib();
  state.counters["floor_s"] = on_gpu(*backend) ? 0 : floor_seconds(2 * batch, 32, dtype, true);
}

void embed(benchmark::State& state, DType dtype) {
  const auto backend = bench_backend("auto");
  const int64_t batch = state.range(0), size = state.range(1);
  ParameterStore store(*backend, ModelConfig{}, false);
  store.initialise(0);
  InferencePlan plan(*backend, ModelConfig{}, {.batch = batch, .height = size, .width = size, .dtype = dtype});
  plan.fold(store);
  fill_uniform(*backend, plan.input());
  const auto run = [&] {
    plan.run();
    backend->synchronize();
  };
  run();
  for (auto _ : state) run();
  state.counters["images/s"] =
      benchmark::Counter(static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["floor_s"] = on_gpu(*backend) ? 0 : floor_seconds(batch, size, dtype, false);
}

void step_sizes(benchmark::internal::Benchmark* bench) {
  bench->Arg(bench_device("auto") == "cuda" ? 256 : 32)->UseRealTime()->Unit(benchmark::kSecond)->MinTime(6);
}
BENCHMARK_CAPTURE(training_step, f32, DType::f32, F32Math::exact)->Apply(step_sizes);
BENCHMARK_CAPTURE(training_step, bf16, DType::bf16, F32Math::exact)->Apply(step_sizes);
void embed_sizes(benchmark::internal::Benchmark* bench) {
  if (bench_device("auto") == "cuda")
    bench->Args({512, 32})->Args({512, 96});
  else
    bench->Args({32, 32})->Args({1, 32})->Args({8, 96})->Args({1, 96});
  bench->UseRealTime()->Unit(benchmark::kSecond)->MinTime(2);
}
BENCHMARK_CAPTURE(embed, f32, DType::f32)->Apply(embed_sizes);
BENCHMARK_CAPTURE(embed, bf16, DType::bf16)->Apply(embed_sizes);

}  // namespace
}  // namespace dcl::bench

int main(int argc, char** argv) {
  using namespace dcl;
  if (bench::bench_device("auto") == "cuda")
    benchmark::RegisterBenchmark("training_step/tf32", bench::training_step, DType::f32, F32Math::tf32)
        ->Apply(bench::step_sizes);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
