// dcl-knn: weighted kNN accuracy of an encoder.
#include "common_options.h"
#include "io/csv.h"
#include "run/app.h"
#include "run/progress.h"
#include "train/monitor.h"

int main(int argc, char** argv) {
  using namespace dcl;
  Options options(
      "dcl-knn", "Weighted kNN accuracy of an encoder: labelled images of --split as bank, of --test_split as queries.",
      {"dcl-knn --dataset stl10 --data data/stl10_binary --model_path runs/stl10/checkpoints/latest",
       "dcl-knn --dataset shapes --untrained --arch resnet18 --json"});
  DataOptions data;
  EncoderOptions encoder;
  DeviceOptions device;
  MonitorSettings settings;
  bool json = false;
  data.add_to(options);
  encoder.add_to(options);
  options.group("Evaluation");
  options.add("k", &settings.k, "neighbours").range(1, 1e6);
  options.add("temperature", &settings.temperature, "a neighbour weighs exp(similarity / temperature)")
      .range(1e-3, 1e6);
  options.add("eval_size", &settings.eval_size, "height and width; 0: the images' own, as published")
      .range(0, kMostEvalSize);
  options.add("batch_size", &settings.batch, "images per forward pass").range(1, 65536);
  options.add("json", &json, "one JSON object on standard output").transient();
  device.add_to(options);

  return run_app(argc, argv, options, [&] {
    data.resolve("train");
    const auto backend = device.open();
    const ParameterStore store = encoder.open(*backend);
    settings.pixels = encoder.pixels();
    const Dataset bank = load_dataset(data.train), query = data.load_test(bank);
    report(bank);
    report(query);
    WorkProgress features("Features");
    const MonitorResult result =
        *knn_accuracy(*backend, store, bank, query, settings, device.type(), [&](int64_t done, int64_t all) {
          features(done, all);
          return true;
        });
    if (json) {
      nlohmann::ordered_json out{{"knn_top1", result.top1},
                                 {"knn_top5", result.top5},
                                 {"k", result.k},
                                 {"bank", result.bank},
                                 {"queries", result.queries}};
      add_context(out, options, bank, query, encoder, store, device, *backend);
      print_json(out);
    } else {
      char line[160];
      std::snprintf(line, sizeof line,
                    "kNN (k = %lld, t = %g): top-1 %.2f%%, top-5 %.2f%% of %lld images, bank of %lld\n",
                    static_cast<long long>(result.k), settings.temperature, result.top1, result.top5,
                    static_cast<long long>(result.queries), static_cast<long long>(result.bank));
      print(line);
    }
    return 0;
  });
}
