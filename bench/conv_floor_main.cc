// conv_floor [batch size]...: seconds of all convolutions of a network (network.h) at the floor of this machine.
// Without arguments: a training step of 64 views of 32x32, and inference at 32x32 (batch 32) and 96x96 (batch 8 and 1).
#include <cstdio>
#include <cstdlib>

#include "conv_floor.h"
#include "core/parallel.h"
#include "network.h"
#include "timing.h"

namespace dcl::bench {
namespace {

constexpr int kRepeats = 4;

void print_floor(int64_t batch, int64_t size, bool inference) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    double seconds[3] = {}, flops = 0;
    for (const CountedConv& conv : counted_convolutions(bench_network(), batch, size, dtype))
      for (int pass = 0; pass < (inference ? 1 : 3); ++pass) {
        if (!has_pass(conv.desc, kPasses[pass].pass)) continue;
        FloorConv floor(conv.desc, kPasses[pass].pass, inference);
        seconds[pass] += conv.count * best_seconds(kRepeats, [&] { floor.run(); });
        flops += conv.count * flops_of(conv.desc);
      }
    const double total = seconds[0] + seconds[1] + seconds[2];
    std::printf(
        "%-9s n%-3lld %3lldx%-3lld %-4s forward %.4f data %.4f filter %.4f total %.4f s  %.0f GFLOP/s  %.1f images/s\n",
        inference ? "inference" : "training", static_cast<long long>(batch), static_cast<long long>(size),
        static_cast<long long>(size), name_of(dtype).data(), seconds[0], seconds[1], seconds[2], total,
        flops / total * 1e-9, static_cast<double>(batch) / total);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace dcl::bench

int main(int argc, char** argv) try {
  using namespace dcl::bench;
  dcl::set_thread_count(0);
  if (argc < 3) {
    print_floor(64, 32, false);
    print_floor(32, 32, true);
    print_floor(8, 96, true);
    print_floor(1, 96, true);
  }
  for (int i = 1; i + 1 < argc; i += 2) print_floor(std::atoll(argv[i]), std::atoll(argv[i + 1]), false);
} catch (const dcl::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return error.exit_code();
}
