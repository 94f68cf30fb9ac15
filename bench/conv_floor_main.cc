// conv_floor: seconds of all convolutions of a network (network.h) at the floor of this machine (conv_floor.h).
#include <cstdio>
#include <string_view>

#include "conv_floor.h"
#include "core/parallel.h"
#include "network.h"
#include "timing.h"

namespace dcl::bench {
namespace {

constexpr const char* kUsage =
    "conv_floor [BATCHxPIXELS,...]\n"
    "Seconds of all convolutions of a network (DCL_BENCH_NETWORK, default resnet50/cifar) at the floor of this "
    "machine:\n"
    "each at oneDNN's best time of four, in the layout it likes best. 64x32 is training with 64 views of 32 x 32 "
    "pixels;\n"
    "without arguments that, and inference on 32x32, 8x96 and 1x96.\n";
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
  if (argc > 1 && (std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h")) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (argc > 2) dcl::fail(dcl::ErrorKind::usage, "one argument at most; --help says which");
  const auto training = read_images("the argument", argc > 1 ? argv[1] : "64x32");
  dcl::set_thread_count(0);
  for (const auto& [images, pixels] : training) print_floor(images, pixels, false);
  if (argc > 1) return 0;
  for (const auto& [images, pixels] : read_images("", "32x32,8x96,1x96")) print_floor(images, pixels, true);
} catch (const dcl::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return error.exit_code();
}
