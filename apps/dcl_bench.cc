// dcl-bench: throughput of the objective, the convolutions and the whole network on every backend; needs no data.
#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "bench/measure.h"
#include "bench_table.h"
#include "comma_list.h"
#include "core/log.h"
#include "core/parallel.h"
#include "core/registry.h"
#include "run/app.h"

namespace dcl {
namespace {

using bench::Measurement;
using bench::Operation;
using bench::Subject;

constexpr const char* kOperations = "objective,conv,augment,embed,step";

struct BenchOptions {
  std::string ops = kOperations, device = "all", dtype = "f32", objective = "debiased", batch_size, image_size = "32",
              arch = "resnet50", stem = "cifar", format = "md";
  int64_t dim = 128;
  int samples = 5, threads = 0;
  bool each = false;

  void add_to(Options& options) {
    options.group("What");
    options.add("ops", &ops, "any of them, between commas");
    options.add("objective", &objective, fmt::format("of {}, between commas", fmt::join(objective_names(), ", ")));
    options.add("batch_size", &batch_size,
                "images, between commas; empty: 256,1024,4096 for the objective, and else 32 on a CPU, 256 on a GPU");
    options.add("feature_dim", &dim, "width of the objective's rows").range(1, 65536);
    options.add("image_size", &image_size, "height and width of the network's images, between commas");
    options.add("arch", &arch, "network").choices({"resnet18", "resnet34", "resnet50", "resnet101"});
    options.add("stem", &stem, "cifar or imagenet").choices({"cifar", "imagenet"});
    options.add("each", &each, "also a row for every distinct convolution, not only their sums over the network");
    options.group("How");
    options.add("repeats", &samples, "samples, of whose times the median is taken").range(1, 10000);
    options.add("format", &format, "of the table; jsonl has every sample").choices(BenchTable::formats());
    options.group("Device");
    options.add("device", &device, "backends, between commas; all: those that work here");
    options.add("dtype", &dtype, "of activations: of f32, tf32 (GPU only), bf16, between commas");
    options.add("threads", &threads, "compute threads; 0: all cores this process may use").range(0, 4096);
  }

  /// What the texts say. After parsing.
  void resolve() {
    chosen.ops = comma_list_of("ops", ops, kOperations);
    chosen.dtypes = comma_list_of("dtype", dtype, "f32,tf32,bf16");
    for (const std::string& kind :
         comma_list_of("objective", objective, fmt::format("{}", fmt::join(objective_names(), ","))))
      chosen.objectives.push_back(parse_objective_kind(kind));
    if (!batch_size.empty()) chosen.batches = comma_list_of("batch_size", batch_size, least_batch(), 1 << 20);
    chosen.sizes = comma_list_of("image_size", image_size, 8, 1024);
    chosen.model = {.arch = arch, .stem = stem_from_name(stem)};
    if (device != "all") chosen.backends = comma_list(device);
    for (const BackendStatus& status : list_backends())
      if (device == "all" && status.available) chosen.backends.push_back(status.name);
  }

  /// A step and its objective have negatives.
  int64_t least_batch() const {
    const auto needs_two = [](const std::string& op) { return op == "objective" || op == "step"; };
    return std::ranges::any_of(chosen.ops, needs_two) ? 2 : 1;
  }

  struct {
    std::vector<std::string> ops, dtypes, backends;
    std::vector<ObjectiveKind> objectives;
    std::vector<int64_t> batches, sizes;  ///< batches empty: nothing was said
    ModelConfig model;
  } chosen;
};

/// All rows of one backend.
class BackendBench {
 public:
  BackendBench(const BenchOptions& options, const std::string& name, BenchTable& table)
      : options_(options), backend_(make_backend(name)), info_(backend_->info()), table_(table) {}

  void run() {
    const auto& ops = options_.chosen.ops;
    const auto has = [&](const char* op) { return std::ranges::find(ops, op) != ops.end(); };
    if (has("objective")) objectives();
    for (const std::string& dtype : options_.chosen.dtypes) {
      if (dtype == "tf32" && !backend_->on_device()) {
        log(LogLevel::info, info_.name + " has no tf32");
        continue;
      }
      backend_->set_f32_math(precision_of(dtype).f32_math);
      for (const Subject& subject : subjects(dtype)) {
        if (has("conv")) convolutions(subject, dtype);
        if (has("augment")) add(bench::augment_operation(subject), dtype);
        if (has("embed")) add(bench::embed_operation(subject), dtype);
        if (has("step")) add(bench::step_operation(subject), dtype);
      }
    }
  }

 private:
  std::vector<int64_t> batches_or(std::vector<int64_t> usual) const {
    return options_.chosen.batches.empty() ? usual : options_.chosen.batches;
  }

  void objectives() {
    for (const ObjectiveKind kind : options_.chosen.objectives)
      for (const int64_t batch : batches_or({256, 1024, 4096}))
        add(bench::objective_operation({.kind = kind}, batch, options_.dim), "f32");
  }

  std::vector<Subject> subjects(const std::string& dtype) const {
    std::vector<Subject> all;
    for (const int64_t size : options_.chosen.sizes)
      for (const int64_t batch : batches_or({backend_->on_device() ? 256 : 32}))
        all.push_back(
            {.model = options_.chosen.model, .batch = batch, .size = size, .dtype = precision_of(dtype).activations});
    return all;
  }

  void convolutions(const Subject& subject, const std::string& dtype) {
    std::map<std::string, std::vector<std::pair<Operation, Measurement>>> by_pass;
    std::set<std::string> incomplete;
    for (const Operation& operation : bench::conv_operations(subject))
      if (const auto measured = add(operation, dtype, options_.each))
        by_pass[operation.name].emplace_back(operation, *measured);
      else
        incomplete.insert(operation.name);
    for (const char* pass : {"conv/forward", "conv/data", "conv/filter"}) {
      if (incomplete.contains(pass)) continue;  // what is left would pass for the network
      Operation sum{.name = pass, .shape = bench::network_text(subject), .batch = subject.batch, .unit = "FLOP"};
      for (const auto& [operation, measured] : by_pass[pass]) sum.work += operation.count * operation.work;
      if (sum.work > 0) table_.add({info_, sum, dtype, thread_count(), bench::network_sum(by_pass[pass])});
    }
  }

  /// What does not fit is left out, with a warning.
  std::optional<Measurement> add(const Operation& operation, const std::string& dtype, bool shown = true) try {
    const Measurement measured = bench::measure(*backend_, operation, options_.samples);
    if (shown) table_.add({info_, operation, dtype, thread_count(), measured});
    return measured;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    log(LogLevel::warning, info_.name + " " + operation.name + " " + operation.shape + " left out: " + error.what());
    return std::nullopt;
  }

  const BenchOptions& options_;
  std::unique_ptr<Backend> backend_;
  BackendInfo info_;
  BenchTable& table_;
};

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  dcl::Options options(
      "dcl-bench", "Throughput of the objective, the convolutions and the whole network on every backend.",
      {"dcl-bench", "dcl-bench --ops objective --objective biased,debiased,hard --batch_size 256,4096",
       "dcl-bench --ops conv --each --device onednn,eigen --dtype f32,bf16 --image_size 96 --format csv"});
  dcl::BenchOptions bench;
  bench.add_to(options);
  return dcl::run_app(argc, argv, options, [&] {
    bench.resolve();
    dcl::set_thread_count(bench.threads);
    dcl::start_threads();
    dcl::BenchTable table(bench.format);
    std::list<dcl::BackendBench> backends;  // all there before the first is timed
    for (const std::string& name : bench.chosen.backends) backends.emplace_back(bench, name, table);
    for (dcl::BackendBench& backend : backends) backend.run();
    return 0;
  });
}
