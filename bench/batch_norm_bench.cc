// Batch norm of a whole ResNet-50 training step (CIFAR stem, 32x32 pixels), pass by pass, beside what the memory can
// do: every layer has buffers of its own, so nothing is in the cache from the call before. bytes_per_second counts each
// tensor once per required read or write. Views: $DCL_BENCH_VIEWS (64); threads: all cores.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/parallel.h"
#include "core/registry.h"
#include "math/philox.h"
#include "nn/resnet.h"

namespace dcl {
namespace {

int64_t views() {
  const char* text = std::getenv("DCL_BENCH_VIEWS");
  return text ? std::atoll(text) : 64;
}

/// Every batch norm of the network, two groups (views), in the order of convolutions().
std::vector<BatchNormDesc> layers(DType dtype) {
  const ResNetSpec spec = resnet_spec({});
  const std::vector<ConvDesc> all = convolutions({}, {views(), 32, 32, 3}, dtype);
  std::vector<BatchNormDesc> norms;
  const auto add = [&](bool relu, bool residual) {
    const ConvDesc& conv = all.at(norms.size());
    norms.push_back({conv.n * conv.out_h() * conv.out_w(), conv.k, 2, dtype, relu, residual});
  };
  add(true, false);
  for (const BlockSpec& block : spec.blocks) {
    if (block.downsample) add(false, false);
    for (size_t i = 1; i < block.main.size(); ++i) add(true, false);
    add(true, true);
  }
  return norms;
}

/// One operand of every layer, laid out one after the other.
class Activations {
 public:
  Activations(Backend& backend, const std::vector<BatchNormDesc>& descs, DType dtype) : dtype_(dtype) {
    size_t bytes = 0;
    for (const auto& d : descs) {
      offsets_.push_back(bytes);
      bytes += static_cast<size_t>(d.x_shape().elements()) * size_of(dtype);
    }
    memory_ = Buffer(backend, bytes);
    float* words = static_cast<float*>(memory_.data());  // some finite values in either type
    parallel_chunks(static_cast<int64_t>(bytes / 4), 1 << 20, [&](int64_t begin, int64_t end) {
      RandomStream stream(1, RandomPurpose::test, static_cast<uint32_t>(begin >> 20));
      for (int64_t i = begin; i < end; ++i) {
        const bf16 low(static_cast<float>(stream.next_u32()) * 0x1p-31f - 1.0f),
            high(static_cast<float>(stream.next_u32()) * 0x1p-31f - 1.0f);
        const uint32_t bits = static_cast<uint32_t>(high.bits) << 16 | low.bits;
        std::memcpy(words + i, &bits, sizeof bits);
      }
    });
  }
  TensorRef of(size_t layer, const BatchNormDesc& d) const {
    return memory_.view(d.x_shape(), dtype_, offsets_[layer]);
  }

 private:
  DType dtype_;
  std::vector<size_t> offsets_;
  Buffer memory_;
};

/// Constants and parameter gradients, f32, shared by all layers: they stay in the cache.
class Channels {
 public:
  explicit Channels(Backend& backend) : memory_(backend, kCount * 4 * kMost * sizeof(float)) {
    backend.fill(row(kMean, 4 * kMost), 0.1f);
    backend.fill(row(kGamma, kMost), 0.9f);
    backend.fill(row(kBeta, kMost), 0.05f);
  }
  /// [2, 2, channels]: mean 0.1 and 1 / std 0.1, which is as good as any.
  TensorRef saved(const BatchNormDesc& d) const { return memory_.view(d.saved_shape(), DType::f32); }
  TensorRef gamma(const BatchNormDesc& d) const { return row(kGamma, d.channels); }
  TensorRef beta(const BatchNormDesc& d) const { return row(kBeta, d.channels); }
  TensorRef dgamma(const BatchNormDesc& d) const { return row(kDgamma, d.channels); }
  TensorRef dbeta(const BatchNormDesc& d) const { return row(kDbeta, d.channels); }
  TensorRef scratch_saved(const BatchNormDesc& d) const {
    return memory_.view(d.saved_shape(), DType::f32, offset(kOther));
  }

 private:
  enum Row { kMean, kGamma, kBeta, kDgamma, kDbeta, kOther, kCount };
  static constexpr int64_t kMost = 2048;
  static size_t offset(Row which) { return static_cast<size_t>(which) * 4 * kMost * sizeof(float); }
  TensorRef row(Row which, int64_t channels) const { return memory_.view({channels}, DType::f32, offset(which)); }

  Buffer memory_;
};

struct Network {
  explicit Network(DType dtype)
      : backend(make_backend("eigen")),
        descs(layers(dtype)),
        x(*backend, descs, dtype),
        y(*backend, descs, dtype),
        dy(*backend, descs, dtype),
        dx(*backend, descs, dtype),
        channels(*backend) {}

  NormOperands operands(size_t layer, const BatchNormDesc& d) const {
    return {x.of(layer, d), channels.saved(d), channels.gamma(d), channels.beta(d)};
  }

  std::unique_ptr<Backend> backend;
  std::vector<BatchNormDesc> descs;
  Activations x, y, dy, dx;
  Channels channels;
};

/// The network of one type at a time: both would need twice the memory.
Network& network(DType dtype) {
  static std::unique_ptr<Network> current;
  static DType of = DType::f32;
  if (!current || of != dtype) {
    current.reset();
    current = std::make_unique<Network>(dtype);
    of = dtype;
  }
  return *current;
}

/// Runs pass(layer, descriptor) over all layers per iteration; `tensors` = required reads and writes of activations.
template <class Pass>
void measure(benchmark::State& state, Network& net, Pass&& pass, double tensors_all, double tensors_residual = 0) {
  double bytes = 0;
  for (const auto& d : net.descs)
    bytes += static_cast<double>(d.x_shape().elements()) * static_cast<double>(size_of(d.dtype)) *
             (tensors_all + (d.residual ? tensors_residual : 0));
  for (auto _ : state)
    for (size_t i = 0; i < net.descs.size(); ++i) pass(i, net.descs[i]);
  state.SetBytesProcessed(static_cast<int64_t>(bytes * static_cast<double>(state.iterations())));
}

void read_memory(benchmark::State& state, DType dtype) {
  Network& net = network(dtype);
  std::vector<uint64_t> sums(1 << 16);
  measure(
      state, net,
      [&](size_t i, const BatchNormDesc& d) {
        const TensorRef x = net.x.of(i, d);
        const uint64_t* words = static_cast<const uint64_t*>(x.data);
        parallel_chunks(static_cast<int64_t>(x.bytes() / 8), 1 << 15, [&](int64_t begin, int64_t end) {
          uint64_t lanes[32] = {};
          for (int64_t p = begin; p + 32 <= end; p += 32)
            for (int lane = 0; lane < 32; ++lane) lanes[lane] ^= words[p + lane];
          for (const uint64_t lane : lanes) sums[static_cast<size_t>(begin >> 15)] ^= lane;
        });
      },
      1);
  benchmark::DoNotOptimize(sums.data());
}

void copy_memory(benchmark::State& state, DType dtype) {
  Network& net = network(dtype);
  measure(
      state, net,
      [&](size_t i, const BatchNormDesc& d) {
        const TensorRef x = net.x.of(i, d), y = net.y.of(i, d);
        parallel_chunks(static_cast<int64_t>(x.bytes()), 1 << 18, [&](int64_t begin, int64_t end) {
          std::memcpy(static_cast<std::byte*>(y.data) + begin, static_cast<const std::byte*>(x.data) + begin,
                      static_cast<size_t>(end - begin));
        });
      },
      2);
}

void statistics(benchmark::State& state, DType dtype) {
  Network& net = network(dtype);
  measure(
      state, net,
      [&](size_t i, const BatchNormDesc& d) {
        net.backend->batch_norm_statistics(d, net.x.of(i, d), net.channels.scratch_saved(d), {}, {});
      },
      1);
}

void apply(benchmark::State& state, DType dtype) {
  Network& net = network(dtype);
  measure(
      state, net,
      [&](size_t i, const BatchNormDesc& d) {
        net.backend->batch_norm_apply(d, net.operands(i, d), d.residual ? net.dx.of(i, d) : TensorRef{},
                                      net.y.of(i, d));
      },
      2, 1);
}

void backward(benchmark::State& state, DType dtype) {
  Network& net = network(dtype);
  // Sums read dy and x (and y, writing the masked dy, with residual); dx reads dy and x and writes dx.
  measure(
      state, net,
      [&](size_t i, const BatchNormDesc& d) {
        const NormGradients to{net.dx.of(i, d), net.channels.dgamma(d), net.channels.dbeta(d)};
        net.backend->batch_norm_backward(d, net.dy.of(i, d), d.residual ? net.y.of(i, d) : TensorRef{},
                                         net.operands(i, d), to, d.residual ? net.dy.of(i, d) : TensorRef{},
                                         Accum::overwrite);
      },
      5, 2);
}

void set_up(benchmark::internal::Benchmark* bench) {
  bench->UseRealTime()->Unit(benchmark::kMillisecond)->Repetitions(5)->ReportAggregatesOnly();
}

#define DCL_MEASURE(name) BENCHMARK_CAPTURE(name, f32, DType::f32)->Apply(set_up)
#define DCL_MEASURE_BF16(name) BENCHMARK_CAPTURE(name, bf16, DType::bf16)->Apply(set_up)

DCL_MEASURE(read_memory);
DCL_MEASURE(copy_memory);
DCL_MEASURE(statistics);
DCL_MEASURE(apply);
DCL_MEASURE(backward);
DCL_MEASURE_BF16(read_memory);
DCL_MEASURE_BF16(copy_memory);
DCL_MEASURE_BF16(statistics);
DCL_MEASURE_BF16(apply);
DCL_MEASURE_BF16(backward);

}  // namespace
}  // namespace dcl

BENCHMARK_MAIN();
