// Time and memory of the contrastive objective and of the row operations and optimizers around it, on all threads.
// bench/peers/objective.py runs objective/debiased beside the published formulation in PyTorch.
#include <benchmark/benchmark.h>

#include <vector>

#include "core/buffer.h"
#include "core/registry.h"
#include "device.h"
#include "math/philox.h"
#include "measure.h"
#include "timing.h"

namespace dcl {
namespace {

constexpr double kMiB = 1 << 20;
constexpr double kLong = 1e-3;  // seconds: so much longer than waiting for a GPU takes

std::vector<float> random_values(int64_t count) {
  RandomStream stream(1, RandomPurpose::test);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(stream.uniform(-1, 1));
  return values;
}

/// Forward and backward; `beyond_MiB` is what it needs besides the rows and their gradients. A GPU is waited for after
/// several, which one alone would wait for longer than it takes.
void objective(benchmark::State& state, ObjectiveKind kind, double temperature) {
  const auto backend = bench::bench_backend("eigen");
  const int64_t batch = state.range(0), dim = state.range(1);
  const bench::Operation operation = bench::objective_operation({.kind = kind, .temperature = temperature}, batch, dim);
  bench::launch_once(*backend, operation);
  const bench::MemoryGrowth growth(*backend);
  const bench::Run run = operation.prepare(*backend);
  run();
  backend->synchronize();
  const auto graph = backend->capture(run);
  const double once = bench::seconds_of([&] { graph->replay(), backend->synchronize(); });
  const int together = bench::on_gpu(*backend) && once < kLong ? 16 : 1;
  for (auto _ : state) {
    const double seconds = bench::seconds_of([&] {
      for (int i = 0; i < together; ++i) graph->replay();
      backend->synchronize();
    });
    state.SetIterationTime(seconds / together);
  }
  const double rows_and_gradients = 2.0 * 2 * static_cast<double>(batch * dim * int64_t{sizeof(float)});
  state.counters["beyond_MiB"] = (growth.bytes() - rows_and_gradients) / kMiB;
}

void all_sizes(benchmark::internal::Benchmark* bench) {
  if (bench::bench_device("eigen") == "cuda") bench->Args({16384, 128})->Args({32768, 128});
  bench->Args({256, 128})->Args({1024, 128})->Args({4096, 128})->UseManualTime()->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(objective, debiased, ObjectiveKind::debiased, 0.5)->Apply(all_sizes);
BENCHMARK_CAPTURE(objective, hard, ObjectiveKind::hard, 0.5)->Apply(all_sizes);
BENCHMARK_CAPTURE(objective, unbiased, ObjectiveKind::unbiased, 0.5)->Apply(all_sizes);
BENCHMARK_CAPTURE(objective, supcon, ObjectiveKind::supcon, 0.5)->Apply(all_sizes);
BENCHMARK_CAPTURE(objective, debiased_in_double, ObjectiveKind::debiased, 0.07)->Apply(all_sizes);

void matrix_product(benchmark::State& state) {
  const auto backend = make_backend("eigen");
  GemmDesc d{state.range(0), state.range(1), state.range(2)};
  d.trans_b = true;
  const std::vector<float> a = random_values(d.m * d.k), b = random_values(d.n * d.k);
  std::vector<float> c(static_cast<size_t>(d.m * d.n));
  for (auto _ : state)
    backend->gemm(d, tensor_of(a.data(), {d.m, d.k}), tensor_of(b.data(), {d.n, d.k}), {},
                  tensor_of(c.data(), {d.m, d.n}));
  const double flops = 2.0 * static_cast<double>(d.m) * static_cast<double>(d.n) * static_cast<double>(d.k);
  state.counters["flops"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}
BENCHMARK(matrix_product)->Args({1024, 1024, 1024})->Args({512, 512, 2048})->Args({256, 8192, 2048})->UseRealTime();

void top_k(benchmark::State& state) {
  const auto backend = make_backend("eigen");
  const int64_t rows = 64, n = state.range(0), k = 200;
  const std::vector<float> scores = random_values(rows * n);
  std::vector<float> values(static_cast<size_t>(rows * k));
  std::vector<int32_t> indices(values.size());
  for (auto _ : state)
    backend->top_k(tensor_of(scores.data(), {rows, n}), tensor_of(values.data(), {rows, k}),
                   tensor_of(indices.data(), {rows, k}));
  state.SetItemsProcessed(state.iterations() * rows);
}
BENCHMARK(top_k)->Arg(8192)->Arg(50000)->Arg(105000)->UseRealTime();

/// Bytes are what the formula must move: w, m, v read and written, g read.
void adam(benchmark::State& state) {
  const auto backend = make_backend("eigen");
  const AdamDesc d{state.range(0)};
  std::vector<float> scalars = {1e-3f, 0.1f, 0.03f, 1.0f}, w = random_values(d.size), g = w, m(w.size()), v(w.size());
  const auto view = [](std::vector<float>& x) { return tensor_of(x.data(), {static_cast<int64_t>(x.size())}); };
  for (auto _ : state) backend->adam(d, view(scalars), view(w), view(g), view(m), view(v));
  state.SetBytesProcessed(state.iterations() * d.size * 28);
}
BENCHMARK(adam)->Arg(23500000)->UseRealTime()->Unit(benchmark::kMillisecond);

void cross_entropy(benchmark::State& state) {
  const auto backend = make_backend("eigen");
  const CrossEntropyDesc d{512, state.range(0)};
  const std::vector<float> logits = random_values(d.rows * d.classes);
  const std::vector<int32_t> labels(static_cast<size_t>(d.rows), 3);
  std::vector<float> loss(labels.size()), gradient(logits.size());
  for (auto _ : state)
    backend->cross_entropy(d, tensor_of(logits.data(), {d.rows, d.classes}), tensor_of(labels.data(), {d.rows}),
                           tensor_of(loss.data(), {d.rows}), tensor_of(gradient.data(), {d.rows, d.classes}));
}
BENCHMARK(cross_entropy)->Arg(10)->Arg(1000)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace dcl

BENCHMARK_MAIN();
