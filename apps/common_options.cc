#include "common_options.h"

#include <algorithm>
#include <functional>
#include <tuple>

#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/parallel.h"
#include "core/registry.h"
#include "data/decode.h"
#include "data/shapes.h"
#include "io/csv.h"
#include "run/console.h"
#include "run/json_text.h"
#include "run/progress.h"
#include "run/version.h"
#include "train/classifier_file.h"
#include "train/model_file.h"

namespace dcl {
Dataset DataOptions::load(DatasetSpec spec) const {
  WorkProgress bar("Images");
  spec.on_images = [&](int64_t done, int64_t all) {
    bar(done, all);
    if (while_reading) while_reading();
  };
  return load_dataset(spec);
}

void DataOptions::add_to(Options& options, Splits splits) {
  options.group("Data");
  options.add("dataset", &train.name, "which data set").choices({"stl10", "cifar10", "cifar100", "folder", "shapes"});
  options.add("data", &train.dir, "folder that holds it (shapes needs none)");
  options.add("split", &train.split,
              "training images, or bank: train, unlabeled, train+unlabeled (stl10), a sub-folder (folder); "
              "empty: what the program is for");
  const bool two = splits == Splits::two;
  if (two) options.add("test_split", &test_split, "images to evaluate on");
  options
      .add("holdout", &train.holdout,
           "share of each class of --split that is left out of it" +
               std::string(two ? " and evaluated on instead of --test_split" : "") +
               ", 0.2: every fifth image; 0: none")
      .range(0, 0.9);
  options.add("max_per_class", &train.max_per_class, "first N images of each class; 0: all").range(0, 1e9);
  options.add("max_images", &train.max_images, "then the first N of all; 0: all").range(0, 2e9);
  if (two) options.add("test_max_per_class", &test_max_per_class, "the same for the test split").range(0, 1e9);
  options
      .add("shorter_side", &train.shorter_side,
           "folder: larger images are shrunk to this shorter side while they are read; 0: as they are")
      .range(0, kMaxImageSide);
  options.add("strict_images", &train.strict_images, "stop at an unreadable image instead of skipping it");
  options.add("max_unreadable", &train.max_unreadable, "folder: stop when more of the images are unreadable, percent")
      .range(0, 100);
  options.add("shapes_count", &train.shapes_count, "training images of shapes").range(1, 1e8);
  options.add("shapes_test_count", &shapes_test_count, "test images of shapes; 0: a fifth of shapes_count")
      .range(0, 1e8);
  options.add("shapes_size", &train.shapes_size, "their height and width, pixels").range(kMinShapeSize, kMaxShapeSize);
  options.add("shapes_seed", &train.shapes_seed, "which shapes");
}

void DataOptions::resolve(const std::string& stl10_default, const std::string& others_default) {
  if (train.split.empty()) train.split = train.name == "stl10" ? stl10_default : others_default;
}

DatasetSpec DataOptions::counted(DatasetSpec spec) const {
  if (spec.split == "test")
    spec.shapes_count = shapes_test_count > 0 ? shapes_test_count : std::max<int64_t>(1, spec.shapes_count / 5);
  return spec;
}

DatasetSpec DataOptions::test() const {
  DatasetSpec spec = train;
  spec.max_per_class = test_max_per_class;
  spec.max_images = 0;
  spec.held_out = train.holdout > 0;
  if (!spec.held_out) spec.split = test_split;
  return counted(spec);
}

Dataset DataOptions::load_train() const { return load(counted(train)); }

Dataset DataOptions::load_test(const Dataset& training) const {
  Dataset images = load(test());
  const std::string &folder = images.folder, &one = training.split, &other = images.split;
  if (train.holdout > 0 || one == other || folder.empty()) return images;
  const auto below = [](const std::string& a, const std::string& b) { return (a + "/").starts_with(b + "/"); };
  if (below(folder, training.folder) != below(training.folder, folder))
    fail(ErrorKind::data, "folder: of the splits " + quoted(one) + " and " + quoted(other) + " of " +
                              quoted(train.dir) +
                              " one lies in the other, the same images would be in both: "
                              "name two that are apart by --split and --test_split, or give --holdout 0.2");
  if (folder == training.folder)
    fail(ErrorKind::data, "folder: " + quoted(folder) + " has no splits " + quoted(one) + " and " + quoted(other) +
                              ", the same images would be both: give --holdout 0.2 to test on a fifth of them, make "
                              "folders of these names in it, or give --split . --test_split . to test on what is "
                              "trained on");
  return images;
}

std::optional<Dataset> load_if_there(bool asked_for, const std::string& without, const std::function<Dataset()>& load) {
  try {
    return load();
  } catch (const Error& error) {
    if (asked_for || (error.kind() != ErrorKind::data && error.kind() != ErrorKind::io)) throw;
    log(LogLevel::warning, without + ": " + error.what());
    return std::nullopt;
  }
}

void check_neighbours(int64_t k, int64_t bank) {
  if (k < bank) return;
  log(LogLevel::warning, "all " + std::to_string(bank) +
                             " images of the kNN bank are neighbours of every image, which " +
                             "says little about the encoder: give a --k below a class's share of the bank");
}

void report(const Dataset& dataset, const std::filesystem::path& list) {
  log(LogLevel::info, "data: " + dataset.name + ", split " + dataset.split + ": " + std::to_string(dataset.size()) +
                          " images, " + std::to_string(dataset.classes.size()) + " classes");
  if (dataset.skipped.empty()) return;
  const SkippedImage& first = dataset.skipped.front();
  log(LogLevel::warning, std::to_string(dataset.skipped.size()) +
                             " unreadable images skipped, the first: " + escaped(first.file) + ": " + first.reason +
                             (list.empty() ? "" : "; all are listed in " + list.string()));
  if (list.empty()) return;
  CsvWriter csv(list, {"file", "reason"});
  for (const SkippedImage& image : dataset.skipped) {
    csv.field(image.file).field(image.reason);
    csv.end_row();
  }
  csv.commit();
}

void DeviceOptions::add_to(Options& options) {
  options.group("Device");
  options.add("device", &device, "backend; auto: the best that works").choices({"auto", "cuda", "onednn", "eigen"});
  std::vector<std::string> dtypes{"f32", "tf32", "bf16"};
  std::string help =
      "of activations; weights, statistics and objective are f32; tf32: f32 with rounded factors, GPU only";
  if (dtype == kAutomatic) {
    dtypes.insert(dtypes.begin(), dtype);
    help += "; auto: bf16 on a GPU with tensor cores for it, f32 elsewhere, and that of the checkpoint it continues";
  }
  options.add("dtype", &dtype, help).choices(dtypes);
  options.add("threads", &threads, "compute threads; 0: all cores this process may use").range(0, 4096);
}

std::unique_ptr<Backend> DeviceOptions::open() {
  set_thread_count(threads);
  start_threads();
  auto backend = make_backend(device);
  if (dtype == kAutomatic) dtype = usual_training_dtype(*backend);
  compute_in(*backend, dtype);
  return backend;
}

void add_model_prefix(Options& options, std::string* prefix) {
  options.add("model_prefix", prefix,
              "which of several encoders in the file: what stands before its tensors' names; .: nothing");
}

void add_normalization(Options& options, std::string* normalization) {
  std::vector<std::string> names = normalization_names();
  names.insert(names.begin(), "auto");
  options
      .add("normalization", normalization,
           "of pixels, as the encoder was trained: published (CIFAR-10's mean and deviation), imagenet (torchvision's "
           "weights), half (to [-1, 1]), none (to [0, 1]); auto: as the file says, published where it says nothing")
      .choices(names);
}

void EncoderOptions::add_to(Options& options) {
  options_ = &options;
  options.group("Encoder");
  options.add(
      "model_path", &model_path,
      "file with the encoder, such as RUN/checkpoints/best or a PyTorch checkpoint; RUN is RUN/checkpoints/latest");
  add_model_prefix(options, &model_prefix);
  add_normalization(options, &normalization);
  options.add("untrained", &untrained, "random weights instead, as the baseline to compare with");
  options.add("arch", &arch, "of --untrained").choices({"resnet18", "resnet34", "resnet50", "resnet101"});
  options.add("stem", &stem, "of --untrained").choices({"cifar", "imagenet"});
  options.add("seed", &seed, "of random weights, order and views");
}

void EncoderOptions::resolve() { model_path = model_at(model_path); }

ParameterStore EncoderOptions::open(Backend& backend, bool with_gradients) {
  if (untrained != model_path.empty()) fail(ErrorKind::usage, "give either --model_path FILE or --untrained");
  const auto file = untrained ? nullptr : open_model_file(model_path);
  normalization = normalization_for(normalization, file ? file->metadata() : FileMetadata{});
  ParameterStore store =
      file ? load_encoder(backend, *file, model_prefix, with_gradients)
           : untrained_encoder(backend, {.arch = arch, .stem = stem_from_name(stem)}, seed, with_gradients);
  if (file) compare_with(store.config());
  log(LogLevel::info, "encoder: " + store.config().arch + ", " + std::string(name_of(store.config().stem)) + " stem, " +
                          (file ? model_path.string() : "untrained") + ", normalization " + normalization);
  return store;
}

void EncoderOptions::compare_with(const ModelConfig& config) const {
  for (const auto& [name, said, found] :
       {std::tuple("arch", arch, config.arch), std::tuple("stem", stem, std::string(name_of(config.stem)))})
    if (options_->given(name) && said != found)
      log(LogLevel::warning, std::string("--") + name + " " + said + " has no effect: it is of --untrained, and " +
                                 escaped(model_path.native()) + " has " + found);
}

void add_context(nlohmann::ordered_json& figure, const FigureContext& context, const Dataset& data) {
  const ModelConfig& model = context.store.config();
  const nlohmann::ordered_json all{{"dataset", data.name},
                                   {"split", data.split},
                                   {"images", data.size()},
                                   {"classes", data.classes.size()},
                                   {"arch", model.arch},
                                   {"stem", name_of(model.stem)},
                                   {"device", context.backend.info().name},
                                   {"dtype", context.device.dtype},
                                   {"threads", thread_count()},
                                   {"version", version()}};
  for (const auto& [name, value] : all.items())
    if (!figure.contains(name)) figure[name] = value;
  context.options.for_each_setting([&](const std::string& name, const auto& value) {
    if (!figure.contains(name)) figure[name] = value;
  });
}

void add_context(nlohmann::ordered_json& figure, const FigureContext& context, const Dataset& train,
                 const Dataset& test, const EncoderOptions& encoder) {
  const auto model = encoder.untrained ? nlohmann::ordered_json() : nlohmann::ordered_json(encoder.model_path.native());
  figure.update({{"test_split", test.split},
                 {"test_images", test.size()},
                 {"model_path", model},
                 {"untrained", encoder.untrained},
                 {"seed", encoder.seed}});
  add_context(figure, context, train);
}

void print_json(const nlohmann::ordered_json& object) { print(json_text(object)); }

}  // namespace dcl
