// dcl-linear: accuracy of a linear classifier on an encoder.
#include "common_options.h"
#include "core/log.h"
#include "run/app.h"
#include "run/progress.h"
#include "train/linear.h"

namespace dcl {
namespace {

/// A line for each tested epoch, progress for the others.
class Reporter {
 public:
  explicit Reporter(int64_t epochs) : progress_(epochs) {}

  void operator()(const LinearEpoch& epoch) {
    char text[160];
    std::snprintf(text, sizeof text, "Linear Epoch: Loss: %.4f", epoch.loss);
    progress_.update(epoch.epoch, text);
    if (!epoch.top1) return;
    std::snprintf(text, sizeof text, "linear epoch %lld: loss %.4f, top-1 %.2f%%, top-5 %.2f%%",
                  static_cast<long long>(epoch.epoch), epoch.loss, *epoch.top1, *epoch.top5);
    log(LogLevel::info, text);
  }

 private:
  Progress progress_;
};

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  using namespace dcl;
  Options options("dcl-linear", "Trains a linear classifier on an encoder and tests it; the last epoch is the result.",
                  {"dcl-linear --dataset stl10 --data data/stl10_binary --model_path runs/stl10/checkpoints/latest",
                   "dcl-linear --dataset shapes --protocol frozen --untrained --arch resnet18 --json"});
  DataOptions data;
  EncoderOptions encoder;
  DeviceOptions device;
  LinearSettings settings;
  std::string protocol = "batch";
  bool json = false;
  data.add_to(options);
  encoder.add_to(options);
  options.group("Evaluation");
  options.add("protocol", &protocol,
              "batch: batch norm of the encoder stays in training mode, as published; frozen: in evaluation mode, features computed once")
      .choices({"batch", "frozen"});
  options.add("epochs", &settings.epochs, "passes over the training images").range(1, 1e7);
  options.add("batch_size", &settings.batch, "images per update").range(1, 65536);
  options.add("lr", &settings.lr, "learning rate of Adam");
  options.add("weight_decay", &settings.weight_decay, "L2, added to the gradient");
  options.add("image_size", &settings.augment.size, "height and width of training views").range(8, 1024);
  options.add("views", &settings.views, "frozen: train on N augmented copies of each image; 0: on the image").range(0, 1000);
  options.add("eval_size", &settings.eval_size, "height and width of whole images; 0: their own, as published").range(0, 4096);
  options.add("eval_every", &settings.eval_every, "test after every N epochs; 0: after the last").range(0, 1e9);
  options.add("json", &json, "one JSON object on standard output").transient();
  device.add_to(options);

  return run_app(argc, argv, options, [&] {
    data.resolve("train");
    settings.protocol = protocol == "batch" ? LinearProtocol::batch : LinearProtocol::frozen;
    settings.seed = encoder.seed;
    settings.dtype = device.type();
    check(settings);
    const auto backend = device.open();
    ParameterStore store = encoder.open(*backend);
    const Dataset train = load_dataset(data.train), test = data.load_test(train);
    report(train);
    report(test);
    Reporter reporter(settings.epochs);
    const LinearEpoch result = linear_evaluation(*backend, store, train, test, settings, std::ref(reporter));
    if (json) {
      nlohmann::ordered_json out{{"top1", *result.top1}, {"top5", *result.top5}, {"loss", result.loss}};
      add_context(out, options, train, test, encoder, store, device, *backend);
      print_json(out);
    } else {
      char line[160];
      std::snprintf(line, sizeof line, "linear (protocol %s, %lld epochs): top-1 %.2f%%, top-5 %.2f%%\n", protocol.c_str(),
                    static_cast<long long>(settings.epochs), *result.top1, *result.top5);
      print(line);
    }
    return 0;
  });
}
