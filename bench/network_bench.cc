// A network as a whole, usually ResNet-50 with the CIFAR stem: the training step of 64 views (forward, debiased
// objective, backward, Adam) and embedding with folded batch norm, each with its share of the machine's convolution
// floor measured beside it. bench/peers/network.py runs this and the peers in turn. DCL_BENCH_DEVICE names the backend
// (on a GPU the step is a replayed graph of 512 views), DCL_BENCH_NETWORK the network, and DCL_BENCH_STEP and
// DCL_BENCH_EMBED the images.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>

#include "conv_floor.h"
#include "core/parallel.h"
#include "core/registry.h"
#include "device.h"
#include "measure.h"
#include "network.h"
#include "nn/inference.h"
#include "nn/network.h"
#include "timing.h"
#include "values.h"

namespace dcl::bench {
namespace {

/// Seconds of all convolutions in the layouts oneDNN likes best; 0 where the floor is not built in.
double floor_seconds([[maybe_unused]] int64_t batch, [[maybe_unused]] int64_t size, [[maybe_unused]] DType dtype,
                     [[maybe_unused]] bool training) {
  double total = 0;
#ifdef DCL_HAVE_FLOOR
  for (const CountedConv& conv : counted_convolutions(bench_network(), batch, size, dtype))
    for (const auto& [pass, name] : kPasses) {
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
  Step(Backend& backend, int64_t batch, int64_t size, DType dtype)
      : backend_(backend),
        store_(backend, bench_network(), true),
        plan_(backend, bench_network(),
              {.batch = batch,
               .views = 2,
               .height = size,
               .width = size,
               .dtype = dtype,
               .activations = Activations::keep_if_roomy}),
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

/// Its time is the mean; best_s is the best run, which is what peers are asked for.
template <class Body>
void run_repeatedly(benchmark::State& state, Body&& body) {
  double best = std::numeric_limits<double>::infinity();
  for (auto _ : state) best = std::min(best, seconds_of(body));
  state.counters["best_s"] = best;
}

void training_step(benchmark::State& state, DType dtype, F32Math math) {
  const auto backend = bench_backend("auto");
  backend->set_f32_math(math);
  const int64_t batch = state.range(0), size = state.range(1);
  const size_t free_before = backend->free_memory();
  {
    Step step(*backend, batch, size, dtype);
    step.prepare();
    run_repeatedly(state, [&] { step.run(); });
    if (on_gpu(*backend))
      state.counters["device_MiB"] = static_cast<double>(free_before - backend->free_memory()) / (1 << 20);
  }
  state.counters["views/s"] =
      benchmark::Counter(static_cast<double>(2 * batch), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["peak_MiB"] = process_memory("VmHWM") / (1 << 20);
  state.counters["floor_s"] = on_gpu(*backend) ? 0 : floor_seconds(2 * batch, size, dtype, true);
}

void embed(benchmark::State& state, DType dtype) {
  const auto backend = bench_backend("auto");
  const int64_t batch = state.range(0), size = state.range(1);
  ParameterStore store(*backend, bench_network(), false);
  store.initialise(0);
  InferencePlan plan(*backend, bench_network(), {.batch = batch, .height = size, .width = size, .dtype = dtype});
  plan.fold(store);
  fill_uniform(*backend, plan.input());
  const auto run = [&] {
    plan.run();
    backend->synchronize();
  };
  run();
  run_repeatedly(state, run);
  state.counters["images/s"] =
      benchmark::Counter(static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["floor_s"] = on_gpu(*backend) ? 0 : floor_seconds(batch, size, dtype, false);
}

void sizes(benchmark::internal::Benchmark* bench, const char* variable, const std::string& usual,
           double least_seconds) {
  for (const auto& [images, pixels] : bench_images(variable, usual)) bench->Args({images, pixels});
  bench->UseRealTime()->Unit(benchmark::kSecond)->MinTime(least_seconds);
}

void register_all() {
  const bool gpu = bench_device("auto") == "cuda";
  bench_network();  // throws here rather than in the middle of a benchmark
  const auto step = [&](const char* name, DType dtype, F32Math math) {
    sizes(benchmark::RegisterBenchmark(name, training_step, dtype, math), "DCL_BENCH_STEP", gpu ? "256x32" : "32x32",
          6);
  };
  step("training_step/f32", DType::f32, F32Math::exact);
  step("training_step/bf16", DType::bf16, F32Math::exact);
  if (gpu) step("training_step/tf32", DType::f32, F32Math::tf32);
  for (const DType dtype : {DType::f32, DType::bf16})
    sizes(benchmark::RegisterBenchmark(("embed/" + std::string(name_of(dtype))).c_str(), embed, dtype),
          "DCL_BENCH_EMBED", gpu ? "512x32,56x96" : "32x32,1x32,8x96,1x96", 2);
}

}  // namespace
}  // namespace dcl::bench

int main(int argc, char** argv) {
  try {
    dcl::bench::register_all();
  } catch (const dcl::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return error.exit_code();
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
