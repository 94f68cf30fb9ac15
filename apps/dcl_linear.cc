// dcl-linear: accuracy of a linear classifier on an encoder.
#include "common_options.h"
#include "core/file.h"
#include "core/log.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "run/app.h"
#include "run/progress.h"
#include "train/classifier_file.h"
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

LinearProtocol protocol_of(const std::string& name) {
  return name == "batch" ? LinearProtocol::batch : name == "frozen" ? LinearProtocol::frozen : LinearProtocol::finetune;
}

/// Before hours of work: that the file can be written, and replaces nothing that is needed.
void check_output(const std::filesystem::path& out, const std::filesystem::path& model) {
  if (out.empty()) return;
  if (out.extension() != ".safetensors")
    fail(ErrorKind::usage, "--out must end in .safetensors; dcl-convert makes other formats of it");
  if (std::error_code ignored; std::filesystem::equivalent(out, model, ignored))
    fail(ErrorKind::usage, quoted(out.string()) + " is the encoder itself: give the result another name");
  AtomicFile{out};
}

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  using namespace dcl;
  Options options(
      "dcl-linear", "Trains a linear classifier on an encoder, or both, and tests; the last epoch is the result.",
      {"dcl-linear --dataset stl10 --data data/stl10_binary --model_path runs/stl10/checkpoints/latest",
       "dcl-linear --dataset folder --data photos --protocol frozen --model_path encoder.pth --out photos.safetensors",
       "dcl-linear --dataset shapes --protocol frozen --untrained --arch resnet18 --json"});
  DataOptions data;
  EncoderOptions encoder;
  DeviceOptions device;
  LinearSettings settings;
  std::string protocol = "batch";
  std::filesystem::path out;
  bool json = false;
  data.add_to(options);
  encoder.add_to(options);
  options.group("Evaluation");
  options
      .add(
          "protocol", &protocol,
          "batch: batch norm of the encoder stays in training mode, as published; frozen: in evaluation mode, features "
          "computed once; finetune: the encoder learns, too")
      .choices({"batch", "frozen", "finetune"});
  options.add("epochs", &settings.epochs, "passes over the training images").range(1, 1e7);
  options.add("batch_size", &settings.batch, "images per update").range(1, 65536);
  options.add("lr", &settings.lr, "learning rate of Adam; finetune wants a smaller one, such as 1e-4");
  options.add("weight_decay", &settings.weight_decay, "L2, added to the gradient");
  options.add("image_size", &settings.augment.size, "height and width of training views").range(8, 1024);
  options.add("views", &settings.views, "frozen: train on N augmented copies of each image; 0: on the image")
      .range(0, 1000);
  options.add("eval_size", &settings.eval_size, "height and width of whole images; 0: their own, as published")
      .range(0, kMostEvalSize);
  options.add("eval_every", &settings.eval_every, "test after every N epochs; 0: after the last").range(0, 1e9);
  options.add("out", &out, "the trained classifier with its encoder, for dcl-predict, dcl-convert and PyTorch")
      .transient();
  options.add("json", &json, "one JSON object on standard output").transient();
  device.add_to(options);

  return run_app(argc, argv, options, [&] {
    data.resolve("train");
    settings.protocol = protocol_of(protocol);
    settings.seed = encoder.seed;
    settings.dtype = device.type();
    check(settings);
    check_output(out, encoder.model_path);
    const auto backend = device.open();
    ParameterStore store = encoder.open(*backend, settings.protocol == LinearProtocol::finetune);
    settings.augment.normalization = encoder.pixels().normalization;
    const Dataset train = load_dataset(data.train), test = data.load_test(train);
    report(train);
    report(test);
    Reporter reporter(settings.epochs);
    WorkProgress features("Features");
    const auto [result, classifier] =
        linear_evaluation(*backend, store, train, test, settings, std::ref(reporter), std::ref(features));
    if (!out.empty()) {
      write_classifier(out, store, classifier, train.classes,
                       {{"dcl.protocol", protocol},
                        {"dcl.dataset", train.name},
                        {std::string(kNormalizationKey), encoder.normalization},
                        {std::string(kEvalSizeKey), std::to_string(settings.eval_size)},
                        {"dcl.top1", number_text(*result.top1)}});
      log(LogLevel::info,
          "wrote " + out.string() + ": encoder and classifier of " + std::to_string(classifier.classes()) + " classes");
    }
    if (json) {
      nlohmann::ordered_json out{{"top1", *result.top1}, {"top5", *result.top5}, {"loss", result.loss}};
      add_context(out, options, train, test, encoder, store, device, *backend);
      print_json(out);
    } else {
      char line[160];
      std::snprintf(line, sizeof line, "linear (protocol %s, %lld epochs): top-1 %.2f%%, top-5 %.2f%%\n",
                    protocol.c_str(), static_cast<long long>(settings.epochs), *result.top1, *result.top5);
      print(line);
    }
    return 0;
  });
}
