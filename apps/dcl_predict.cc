// dcl-predict: classes of images, by an encoder with a linear classifier.
#include <fmt/format.h>

#include <optional>

#include "common_options.h"
#include "core/file.h"
#include "core/log.h"
#include "io/atomic_file.h"
#include "io/npy.h"
#include "predictions.h"
#include "run/app.h"
#include "run/progress.h"
#include "train/features.h"

namespace dcl {
namespace {

struct PredictOptions {
  std::filesystem::path model_path, out, logits;
  std::string model_prefix, normalization = "auto";
  int64_t top = 1, eval_size = 0, batch = 64;
  bool json = false;

  void add_to(Options& options) {
    options.group("Classifier");
    options
        .add("model_path", &model_path,
             "file with encoder and classifier, such as dcl-linear --out writes, or a PyTorch checkpoint")
        .required();
    add_model_prefix(options, &model_prefix);
    add_normalization(options, &normalization);
    options.group("Prediction");
    options.add("out", &out, "the table, CSV: row, name, class where known, predicted class, probability").required();
    options.add("top", &top, "likeliest classes, with their probabilities").range(1, 1e6);
    options.add("logits", &logits, "also the logits, .npy: f32 [images, classes]");
    options
        .add("eval_size", &eval_size,
             "height and width; 0: those of the classifier's test where its file says them, else the images' own")
        .range(0, kMostEvalSize);
    options.add("batch_size", &batch, "images per forward pass, at most").range(1, 65536);
    options.add("json", &json, "one JSON object on standard output").transient();
  }
};

/// Before hours of work: that the results replace neither the classifier nor each other.
void check_outputs(const PredictOptions& options) {
  refuse_replacing(options.out, options.model_path, "the classifier itself");
  if (options.logits.empty()) return;
  if (options.logits.extension() != ".npy") fail(ErrorKind::usage, "--logits must end in .npy");
  refuse_replacing(options.logits, options.model_path, "the classifier itself");
  std::error_code unknown;
  const auto place = [&](const std::filesystem::path& file) {
    return std::filesystem::weakly_canonical(file, unknown);
  };
  if (place(options.out) == place(options.logits) && !unknown)
    fail(ErrorKind::usage, "--out and --logits are both " + quoted(options.out) + ": give them different names");
}

/// Of all images, in their order, to `predictions` and, where there is one, to `logits`.
void predict(Backend& backend, const Classifier& classifier, const Dataset& dataset, const PredictOptions& options,
             DType dtype, Predictions& predictions, NpyWriter* logits) {
  const int64_t eval_size = eval_size_for(options.eval_size, classifier.metadata);
  const AugmentDesc pixels{.normalization =
                               normalization_of(normalization_for(options.normalization, classifier.metadata))};
  FeatureExtractor extractor(backend, classifier.encoder, evaluation_pixels(dataset, eval_size, pixels), dataset.size(),
                             options.batch, dtype);
  const int64_t classes = classifier.linear.classes();
  LinearClassifier linear(backend, {.dim = extractor.dim(), .classes = classes, .max_rows = options.batch});
  linear.set(classifier.linear);
  Progress progress(dataset.size());
  extractor.extract(dataset, all_images(dataset), evaluation_views(eval_size), 0, [&](std::span<const float> features) {
    const std::vector<float> all = linear.logits(linear.upload(features));
    for (size_t at = 0; at < all.size(); at += static_cast<size_t>(classes))
      predictions.add(std::span(all).subspan(at, static_cast<size_t>(classes)));
    if (logits) logits->append(std::span<const float>(all));
    progress.update(predictions.images(), "Predict");
    return true;
  });
}

nlohmann::ordered_json json_of(const Predictions& p, const Classifier& classifier) {
  nlohmann::ordered_json out{{"images", p.images()}, {"labelled", p.known()}};
  out["top1"] = p.known() > 0 ? nlohmann::ordered_json(p.top1()) : nlohmann::ordered_json();
  out["top5"] = p.known() > 0 ? nlohmann::ordered_json(p.top5()) : nlohmann::ordered_json();
  out["classes"] = classifier.classes;
  return out;
}

std::string text_of(const Predictions& p) {
  const std::string text = fmt::format("predicted the classes of {} images", p.images());
  if (p.known() == 0) return text;
  return text + fmt::format(": top-1 {:.2f}%, top-5 {:.2f}% of {} whose class is known", p.top1(), p.top5(), p.known());
}

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  using namespace dcl;
  Options options("dcl-predict",
                  "Classes of every image of --split, by an encoder with a linear classifier; their accuracy where the "
                  "images have labels.",
                  {"dcl-predict --dataset folder --data photos --model_path classifier.safetensors --out photos.csv"});
  DataOptions data;
  DeviceOptions device;
  PredictOptions settings;
  data.add_to(options, Splits::one);
  settings.add_to(options);
  device.add_to(options);

  return run_app(argc, argv, options, [&] {
    data.resolve("test", "test");
    check_outputs(settings);
    const auto backend = device.open();
    const Classifier classifier = load_classifier(*backend, settings.model_path, settings.model_prefix);
    const Dataset dataset = data.load_train();
    report(dataset);
    Predictions predictions(settings.out, dataset, classifier, settings.top);
    std::optional<NpyWriter> logits;
    if (!settings.logits.empty())
      logits.emplace(settings.logits, NpyWriter::Type::f32, std::vector{classifier.linear.classes()});
    predict(*backend, classifier, dataset, settings, device.type(), predictions, logits ? &*logits : nullptr);
    // The files belong together: what may fail for a full disk comes before either appears.
    predictions.finish();
    if (logits) logits->commit();
    predictions.commit();
    if (settings.json) {
      nlohmann::ordered_json out = json_of(predictions, classifier);
      add_context(out, {options, device, *backend, classifier.encoder}, dataset);
      print_json(out);
    } else {
      print(text_of(predictions) + "\n");
    }
    return 0;
  });
}
