// dcl-knn: weighted kNN accuracy of an encoder.
#include <fmt/format.h>

#include "common_options.h"
#include "run/app.h"
#include "run/progress.h"
#include "train/monitor.h"

namespace dcl {
namespace {

struct KnnOptions {
  MonitorSettings monitor;
  bool json = false;

  void add_to(Options& options) {
    options.group("Evaluation");
    options.add("k", &monitor.k, "neighbours").range(1, 1e6);
    options.add("temperature", &monitor.temperature, "a neighbour weighs exp(similarity / temperature)")
        .range(1e-3, 1e6);
    options.add("eval_size", &monitor.eval_size, "height and width; 0: the images' own, as published")
        .range(0, kMostEvalSize);
    options.add("batch_size", &monitor.batch, "images per forward pass, at most").range(1, 65536);
    options.add("json", &json, "one JSON object on standard output").transient();
  }
};

nlohmann::ordered_json json_of(const MonitorResult& result) {
  return {{"knn_top1", result.top1},
          {"knn_top5", result.top5},
          {"k", result.k},
          {"bank", result.bank},
          {"queries", result.queries}};
}

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  using namespace dcl;
  Options options(
      "dcl-knn", "Weighted kNN accuracy of an encoder: labelled images of --split as bank, of --test_split as queries.",
      {"dcl-knn --dataset stl10 --data data/stl10_binary --model_path runs/stl10",
       "dcl-knn --dataset shapes --untrained --arch resnet18 --json"});
  DataOptions data;
  EncoderOptions encoder;
  DeviceOptions device;
  KnnOptions settings;
  data.add_to(options, Splits::two);
  encoder.add_to(options);
  settings.add_to(options);
  device.add_to(options);

  return run_app(argc, argv, options, [&] {
    data.resolve("train");
    encoder.resolve();
    const auto backend = device.open();
    const ParameterStore store = encoder.open(*backend);
    settings.monitor.pixels = encoder.pixels();
    const Dataset bank = data.load_train(), query = data.load_test(bank);
    report(bank);
    report(query);
    check_neighbours(settings.monitor.k, std::ssize(labelled_images(bank)));
    WorkProgress features("Features");
    const MonitorResult result =
        *knn_accuracy(*backend, store, bank, query, settings.monitor, device.type(), [&](int64_t done, int64_t all) {
          features(done, all);
          return true;
        });
    if (settings.json) {
      nlohmann::ordered_json out = json_of(result);
      add_context(out, {options, device, *backend, store}, bank, query, encoder);
      print_json(out);
    } else {
      print(fmt::format("kNN (k = {}, t = {:g}): top-1 {:.2f}%, top-5 {:.2f}% of {} images, bank of {}\n", result.k,
                        settings.monitor.temperature, result.top1, result.top5, result.queries, result.bank));
    }
    return 0;
  });
}
