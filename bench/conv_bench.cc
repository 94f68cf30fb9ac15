// conv_bench: every convolution of a network (network.h) through a backend's ops, beside the floor of the machine.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/number.h"
#include "core/parallel.h"
#include "core/registry.h"
#include "network.h"
#include "ops.h"
#include "timing.h"
#ifdef DCL_HAVE_FLOOR
#include "conv_floor.h"
#endif

namespace dcl::bench {
namespace {

constexpr const char* kUsage =
    "conv_bench [--backend NAME] [--batch N] [--size PIXELS] [--dtype f32|bf16] [--infer] [--pass "
    "forward|data|filter]\n"
    "           [--repeats N]\n"
    "Every convolution of a network (DCL_BENCH_NETWORK, default resnet50/cifar) through a backend's ops (default:\n"
    "onednn); beside it, run in turn, the floor of this machine where oneDNN is there: its best time in any layout.\n"
    "Times are the best of --repeats (4), of one run; --infer: with bias and ReLU as inference has them.\n";

struct Options {
  std::string backend = "onednn";
  int64_t batch = 64, size = 32;
  DType dtype = DType::f32;
  bool inference = false;
  int repeats = 4;
  std::string only_pass;
};

DType dtype_of(const std::string& name) {
  for (const DType dtype : {DType::f32, DType::bf16})
    if (name_of(dtype) == name) return dtype;
  fail(ErrorKind::usage, "--dtype is '" + name + "', expected f32 or bf16");
}

std::string checked_pass(std::string name) {
  if (std::ranges::find(kPasses, std::string_view(name), &NamedPass::name) == std::end(kPasses))
    fail(ErrorKind::usage, "--pass is '" + name + "', expected forward, data or filter");
  return name;
}

int64_t count_of(const std::string& flag, const std::string& text) {
  const auto count = parse_number<int>(text);
  if (!count || *count < 1) fail(ErrorKind::usage, flag + " is '" + text + "', expected a whole number of 1 or more");
  return *count;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 >= argc) fail(ErrorKind::usage, flag + " needs a value");
      return argv[++i];
    };
    if (flag == "--help" || flag == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (flag == "--backend")
      options.backend = value();
    else if (flag == "--batch")
      options.batch = count_of(flag, value());
    else if (flag == "--size")
      options.size = count_of(flag, value());
    else if (flag == "--dtype")
      options.dtype = dtype_of(value());
    else if (flag == "--infer")
      options.inference = true;
    else if (flag == "--pass")
      options.only_pass = checked_pass(value());
    else if (flag == "--repeats")
      options.repeats = static_cast<int>(count_of(flag, value()));
    else
      fail(ErrorKind::usage, "unknown flag " + flag + "; --help lists all");
  }
  return options;
}

#ifdef DCL_HAVE_FLOOR
void best_of_both(int repeats, const Run& op, const ConvDesc& d, ConvPass pass, bool inference, double& ours,
                  double& floor) {
  FloorConv reference(d, pass, inference);
  op();
  reference.run();
  ours = floor = 1e9;
  for (int i = 0; i < repeats; ++i) {
    floor = std::min(floor, seconds_of([&] { reference.run(); }));
    ours = std::min(ours, seconds_of([&] { op(); }));
  }
}
#else
void best_of_both(int repeats, const Run& op, const ConvDesc&, ConvPass, bool, double& ours, double& floor) {
  ours = best_seconds(repeats, [&] { op(); });
  floor = 0;
}
#endif

std::string beside_floor(double seconds, double floor) {
  char text[80];
  if (floor > 0)
    std::snprintf(text, sizeof text, "%.4f s, floor %.4f s, ratio %.3f", seconds, floor, seconds / floor);
  else
    std::snprintf(text, sizeof text, "%.5f s", seconds);
  return text;
}

void run(const Options& options) {
  const auto backend = make_backend(options.backend);
  double ours[3] = {}, floors[3] = {};
  for (const CountedConv& conv : counted_convolutions(bench_network(), options.batch, options.size, options.dtype)) {
    const double gflop = flops_of(conv.desc) * 1e-9;
    std::printf("%-32s x%d", text_of(conv.desc).c_str(), conv.count);
    for (int pass = 0; pass < (options.inference ? 1 : 3); ++pass) {
      const auto [kind, name] = kPasses[pass];
      if (!has_pass(conv.desc, kind)) continue;
      if (!options.only_pass.empty() && options.only_pass != name) continue;
      double mine = 0, floor = 0;
      const Run enqueue = conv_run(*backend, conv.desc, kind, options.inference);
      const Run op = [&] { enqueue(), backend->synchronize(); };
      best_of_both(options.repeats, op, conv.desc, kind, options.inference, mine, floor);
      ours[pass] += conv.count * mine;
      floors[pass] += conv.count * floor;
      std::printf(" | %s %.0f", name, gflop / mine);
      if (floor > 0) std::printf(" of %.0f", gflop / floor);
    }
    std::printf(" GFLOP/s\n");
    std::fflush(stdout);
  }
  double total = 0, floor_total = 0;
  for (int pass = 0; pass < 3; ++pass) {
    total += ours[pass];
    floor_total += floors[pass];
    if (ours[pass] > 0) std::printf("%-8s %s\n", kPasses[pass].name, beside_floor(ours[pass], floors[pass]).c_str());
  }
  std::printf("total    %s, %.1f images/s (%s, %s, batch %lld, %d threads)\n", beside_floor(total, floor_total).c_str(),
              static_cast<double>(options.batch) / total, options.backend.c_str(), name_of(options.dtype).data(),
              static_cast<long long>(options.batch), thread_count());
}

}  // namespace
}  // namespace dcl::bench

int main(int argc, char** argv) {
  try {
    dcl::set_thread_count(0);
    dcl::bench::run(dcl::bench::parse(argc, argv));
  } catch (const dcl::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return error.exit_code();
  }
}
