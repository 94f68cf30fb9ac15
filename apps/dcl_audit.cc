// dcl-audit: how often and how similarly images of a data set share a class, and which are in it twice.
#include "audit_report.h"
#include "common_options.h"
#include "core/file.h"
#include "core/log.h"
#include "io/atomic_file.h"
#include "run/app.h"
#include "run/progress.h"
#include "train/features.h"

namespace dcl {
namespace {

struct AuditOptions {
  AuditSettings audit;
  FeatureSettings features;
  std::filesystem::path out;
  bool json = false;

  void add_to(Options& options) {
    options.group("Audit");
    options.add("k", &audit.k, "most similar images of each image, the hard negatives, that are looked at")
        .range(1, kMostAuditNeighbours);
    options.add("threshold", &audit.threshold, "cosine similarity from which on two images are near duplicates")
        .range(-1, 1);
    options.add("out", &out, "the near duplicates, CSV: similarity, identical, then split, row, name, class of both");
    options.add("most", &audit.most, "rows of it, the most similar pairs").range(1, 1e7);
    options.add("eval_size", &features.eval_size, "height and width; 0: the images' own, as published")
        .range(0, kMostEvalSize);
    options.add("batch_size", &features.batch, "images per forward pass, at most").range(1, 65536);
    options.add("json", &json, "one JSON object on standard output").transient();
  }
};

/// The test split; nothing where there is none and none was asked for.
std::optional<Dataset> load_other(const DataOptions& data, const Dataset& set, int64_t eval_size, bool asked_for) {
  return load_if_there(asked_for, "nothing is compared with a test split", [&] {
    if (data.train.holdout == 0 && data.test_split == set.split)
      fail(asked_for ? ErrorKind::usage : ErrorKind::data,
           "--split and --test_split are both " + quoted(set.split) + ": every image would be in both");
    Dataset other = data.load_test(set);
    evaluation_pixels(other, eval_size);
    return other;
  });
}

Audit run_audit(Backend& backend, const ParameterStore& store, const Dataset& set, const Dataset* other,
                const AuditOptions& options) {
  std::vector<const Dataset*> sets = {&set};
  if (other) sets.push_back(other);
  std::vector<std::vector<int32_t>> images;
  std::vector<FeatureImages> wanted;
  for (const Dataset* each : sets) images.push_back(all_images(*each));
  for (size_t i = 0; i < sets.size(); ++i) wanted.push_back({*sets[i], images[i]});
  WorkProgress features_bar("Features"), pairs_bar("Pairs");
  const UnitFeatures features =
      *unit_features(backend, store, wanted, options.features, [&](int64_t done, int64_t all) {
        features_bar(done, all);
        return true;
      });
  const std::vector<std::vector<int32_t>> contents = content_numbers(sets);
  std::vector<AuditSet> audited;
  for (size_t i = 0; i < sets.size(); ++i)
    audited.push_back(
        {features.sets[i].view({sets[i]->size(), features.dim}, DType::f32), sets[i]->labels, contents[i]});
  AuditSettings settings = options.audit;
  if (options.out.empty()) settings.most = 0;
  return audit(backend, audited[0], other ? &audited[1] : nullptr, settings, std::ref(pairs_bar));
}

/// other: the test split; null where there is none.
void print_audit(const Audit& result, const Dataset& set, const Dataset* other, const AuditOptions& settings,
                 const FigureContext& context, const EncoderOptions& encoder) {
  if (!settings.json) return print(text_of(result, set, other, settings.audit.threshold));
  nlohmann::ordered_json out = json_of(result);
  if (other) {
    add_context(out, context, set, *other, encoder);
  } else {
    out["test_split"] = nullptr, out["test_images"] = 0;
    add_context(out, context, set);
  }
  print_json(out);
}

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  using namespace dcl;
  Options options("dcl-audit",
                  "What an encoder says about the images of --split: how often two share a class, how similar those "
                  "are, and near duplicates, also of images of --test_split.",
                  {"dcl-audit --dataset stl10 --data data/stl10_binary --model_path runs/stl10",
                   "dcl-audit --dataset folder --data photos --untrained --out duplicates.csv"});
  DataOptions data;
  EncoderOptions encoder;
  DeviceOptions device;
  AuditOptions settings;
  data.add_to(options, Splits::two);
  encoder.add_to(options);
  settings.add_to(options);
  device.add_to(options);

  return run_app(argc, argv, options, [&] {
    data.resolve("train");
    encoder.resolve();
    refuse_replacing(settings.out, encoder.model_path, "the encoder itself");
    const auto backend = device.open();
    const ParameterStore store = encoder.open(*backend);
    settings.features.pixels = encoder.pixels();
    settings.features.dtype = device.type();
    const Dataset set = data.load_train();
    report(set);
    evaluation_pixels(set, settings.features.eval_size);
    const auto other =
        load_other(data, set, settings.features.eval_size, options.given("test_split") || options.given("holdout"));
    if (other) report(*other);
    const Dataset* const second = other ? &*other : nullptr;
    if (set.size() < 2 && !second) fail(ErrorKind::usage, "one image and no test split: there is no pair to look at");
    std::optional<PairTable> table;
    if (!settings.out.empty()) table.emplace(settings.out);
    const Audit result = run_audit(*backend, store, set, second, settings);
    if (result.within.pairs - result.within.identical_pairs > set.size())
      log(LogLevel::warning,
          "more near duplicates than images: the encoder does not tell them apart at this "
          "similarity; give a higher --threshold or another encoder");
    if (table) {
      table->write(result, set, second);
      table->commit();
      log(LogLevel::info, "wrote " + std::to_string(result.pairs.size()) + " pairs to " + settings.out.string());
    }
    print_audit(result, set, second, settings, {options, device, *backend, store}, encoder);
    return 0;
  });
}
