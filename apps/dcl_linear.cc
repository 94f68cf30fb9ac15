// dcl-linear: accuracy of a linear classifier on an encoder.
#include <fmt/format.h>

#include "common_options.h"
#include "core/file.h"
#include "core/log.h"
#include "core/number.h"
#include "io/atomic_file.h"
#include "linear_folds.h"
#include "run/app.h"
#include "run/progress.h"
#include "train/classifier_file.h"
#include "train/linear.h"

namespace dcl {
namespace {

struct LinearOptions {
  LinearSettings settings;
  std::string protocol = "batch", folds;
  std::filesystem::path out;
  bool json = false;

  void add_to(Options& options) {
    options.group("Evaluation");
    options
        .add("protocol", &protocol,
             "batch: batch norm of the encoder stays in training mode, as published; frozen: in evaluation mode, "
             "features computed once; finetune: the encoder learns, too")
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
    options.add("folds", &folds,
                "stl10: a classifier for each predefined fold of 1,000 training images, their mean is the result; all, "
                "or numbers of folds, such as 0,3,7");
    options.add("out", &out, "the trained classifier with its encoder, for dcl-predict, dcl-convert and PyTorch")
        .transient();
    options.add("json", &json, "one JSON object on standard output").transient();
  }

  /// Settings from words. After parsing.
  void resolve(const EncoderOptions& encoder, const DeviceOptions& device) {
    settings.protocol = protocol == "batch"    ? LinearProtocol::batch
                        : protocol == "frozen" ? LinearProtocol::frozen
                                               : LinearProtocol::finetune;
    settings.seed = encoder.seed;
    settings.dtype = device.type();
    check(settings);
  }
};

std::string accuracies(const LinearEpoch& epoch) {
  return fmt::format("top-1 {:.2f}%, top-5 {:.2f}%", *epoch.top1, *epoch.top5);
}

/// A line for each tested epoch, progress for the others; of a fold with its number.
class Reporter {
 public:
  /// fold: "", or "fold 3: ".
  Reporter(int64_t epochs, std::string fold) : fold_(std::move(fold)), progress_(epochs) {}

  void operator()(const LinearEpoch& epoch) {
    progress_.update(epoch.epoch, fmt::format("{}Linear Epoch: Loss: {:.4f}", fold_, epoch.loss));
    if (epoch.top1)
      log(LogLevel::info,
          fmt::format("{}linear epoch {}: loss {:.4f}, {}", fold_, epoch.epoch, epoch.loss, accuracies(epoch)));
  }

 private:
  std::string fold_;
  Progress progress_;
};

/// Before hours of work: that the file can be written, holds the only classifier, and replaces nothing that is needed.
void check_output(const std::filesystem::path& out, const std::filesystem::path& model, size_t folds) {
  if (out.empty()) return;
  if (folds > 1)
    fail(ErrorKind::usage, "--out keeps one classifier, and --folds trains " + std::to_string(folds) +
                               ": give it one fold, or train on all images without it");
  if (out.extension() != ".safetensors")
    fail(ErrorKind::usage, "--out must end in .safetensors; dcl-convert makes other formats of it");
  refuse_replacing(out, model, "the encoder itself");
  AtomicFile{out};
}

/// For the line of the result.
std::string named(const FoldChoice& choice) {
  const size_t count = choice.numbers.size();
  return count == 0   ? ""
         : count == 1 ? ", fold " + std::to_string(choice.numbers[0])
                      : ", " + std::to_string(count) + " folds";
}

/// One result, or one for each fold, which is then also a line on standard output when print_folds says so.
std::vector<LinearResult> evaluate(Backend& backend, ParameterStore& encoder, const Dataset& train, const Dataset& test,
                                   const FoldChoice& choice, const LinearSettings& settings, bool print_folds) {
  WorkProgress features("Features");
  std::optional<Reporter> reporter;
  if (choice.numbers.empty()) {
    reporter.emplace(settings.epochs, "");
    return {linear_evaluation(backend, encoder, train, test, settings, std::ref(*reporter), std::ref(features))};
  }
  const auto on_epoch = [&](size_t i, const LinearEpoch& epoch) {
    const std::string fold = "fold " + std::to_string(choice.numbers[i]) + ": ";
    if (epoch.epoch == 1) reporter.emplace(settings.epochs, fold);
    (*reporter)(epoch);
    if (epoch.epoch < settings.epochs) return;
    reporter.reset();
    if (print_folds) print(fold + accuracies(epoch) + "\n");
  };
  return linear_evaluations(backend, encoder, train, test, choice.images, settings, on_epoch, std::ref(features));
}

/// The file of --out.
void write_result(const LinearOptions& options, const ParameterStore& store, const EncoderOptions& encoder,
                  const Dataset& train, const FoldChoice& choice, const LinearResult& result) {
  FileMetadata metadata{{"dcl.protocol", options.protocol},
                        {"dcl.dataset", train.name},
                        {std::string(kNormalizationKey), encoder.normalization},
                        {std::string(kEvalSizeKey), std::to_string(options.settings.eval_size)},
                        {"dcl.top1", number_text(*result.last.top1)}};
  if (!choice.numbers.empty()) metadata["dcl.fold"] = std::to_string(choice.numbers[0]);
  write_classifier(options.out, store, result.classifier, train.classes, metadata);
  log(LogLevel::info, "wrote " + options.out.string() + ": encoder and classifier of " +
                          std::to_string(result.classifier.classes()) + " classes");
}

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  using namespace dcl;
  Options options(
      "dcl-linear", "Trains a linear classifier on an encoder, or both, and tests; the last epoch is the result.",
      {"dcl-linear --dataset stl10 --data data/stl10_binary --model_path runs/stl10",
       "dcl-linear --dataset stl10 --data data/stl10_binary --folds all --protocol frozen --model_path encoder.pth",
       "dcl-linear --dataset folder --data photos --holdout 0.2 --eval_size 96 --protocol frozen --model_path "
       "encoder.pth --out "
       "photos.safetensors",
       "dcl-linear --dataset shapes --protocol frozen --untrained --arch resnet18 --json"});
  DataOptions data;
  EncoderOptions encoder;
  DeviceOptions device;
  LinearOptions linear;
  data.add_to(options, Splits::two);
  encoder.add_to(options);
  linear.add_to(options);
  device.add_to(options);

  return run_app(argc, argv, options, [&] {
    data.resolve("train");
    encoder.resolve();
    linear.resolve(encoder, device);
    LinearSettings& settings = linear.settings;
    const FoldChoice choice = choose_folds(linear.folds, data.train);
    check_output(linear.out, encoder.model_path, choice.numbers.size());
    const auto backend = device.open();
    ParameterStore store = encoder.open(*backend, settings.protocol == LinearProtocol::finetune);
    settings.augment.normalization = encoder.pixels().normalization;
    const Dataset train = data.load_train(), test = data.load_test(train);
    report(train);
    report(test);
    const std::vector<LinearResult> results = evaluate(*backend, store, train, test, choice, settings, !linear.json);
    if (!linear.out.empty()) write_result(linear, store, encoder, train, choice, results[0]);
    LinearFigures figures(choice, results);
    if (linear.json) {
      add_context(figures.json, {options, device, *backend, store}, train, test, encoder);
      print_json(figures.json);
    } else {
      print(fmt::format("linear (protocol {}, {} epochs{}): top-1 {}, top-5 {}\n", linear.protocol, settings.epochs,
                        named(choice), figures.top1.text(), figures.top5.text()));
    }
    return 0;
  });
}
