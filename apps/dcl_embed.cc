// dcl-embed: features of images, to .npy and .csv.
#include <optional>

#include "common_options.h"
#include "core/log.h"
#include "io/csv.h"
#include "io/npy.h"
#include "run/app.h"
#include "run/progress.h"
#include "train/features.h"
#include "train/projector.h"

namespace dcl {
namespace {

/// row, file name, label (index and class name; -1 and empty when unknown) of every image.
void write_names(const Dataset& dataset, CsvWriter& csv) {
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    const int32_t label = dataset.labels[at];
    csv.field(i).field(std::string_view(dataset.names[at]));
    csv.field(label).field(std::string_view(label == kUnknownLabel ? "" : dataset.classes[static_cast<size_t>(label)]));
    csv.end_row();
  }
  csv.finish();
}

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  using namespace dcl;
  Options options(
      "dcl-embed",
      "Writes the encoder's features of every image of --split: OUT.npy (f32 [images, features]) and OUT.csv.",
      {"dcl-embed --dataset folder --data photos --model_path runs/stl10/checkpoints/latest --out x.npy"});
  DataOptions data;
  EncoderOptions encoder;
  DeviceOptions device;
  std::filesystem::path out, projector_folder;
  int64_t batch = 64, eval_size = 0;
  bool raw = false;
  data.add_to(options);
  encoder.add_to(options);
  options.group("Features");
  options.add("out", &out, "the .npy file; names and labels go beside it, to .csv").required();
  options.add("raw", &raw, "as the encoder gives them; otherwise each row has unit length, as published");
  options.add("projector", &projector_folder,
              "also write the features for TensorBoard's embedding projector into this folder");
  options.add("eval_size", &eval_size, "height and width; 0: the images' own, as published").range(0, kMostEvalSize);
  options.add("batch_size", &batch, "images per forward pass").range(1, 65536);
  device.add_to(options);

  return run_app(argc, argv, options, [&] {
    data.resolve("train");
    if (out.extension() != ".npy") fail(ErrorKind::usage, "--out must end in .npy");
    const auto backend = device.open();
    const ParameterStore store = encoder.open(*backend);
    const Dataset dataset = load_dataset(data.train);
    report(dataset);
    FeatureExtractor extractor(*backend, store, evaluation_pixels(dataset, eval_size, encoder.pixels()), dataset.size(),
                               batch, device.type());
    NpyWriter npy(out, NpyWriter::Type::f32, {extractor.dim()});
    std::optional<ProjectorWriter> projector;
    if (!projector_folder.empty()) projector.emplace(projector_folder, dataset, extractor.dim());
    Progress progress(dataset.size());
    std::vector<float> rows;
    extractor.extract(dataset, all_images(dataset), evaluation_views(eval_size), 0,
                      [&](std::span<const float> features) {
                        rows.assign(features.begin(), features.end());
                        if (!raw) normalize_rows(rows, extractor.dim());
                        npy.append(rows);
                        if (projector) projector->append(rows);
                        progress.update(npy.rows(), "Embed");
                        return true;
                      });
    // The files belong together: what may fail for a full disk comes before either appears.
    CsvWriter names(std::filesystem::path(out).replace_extension(".csv"), {"row", "name", "label", "class"});
    write_names(dataset, names);
    npy.commit();
    names.commit();
    if (projector) projector->commit(*backend);
    progress.finish();
    log(LogLevel::info, "wrote " + std::to_string(npy.rows()) + " x " + std::to_string(extractor.dim()) +
                            " features to " + out.string());
    if (projector)
      log(LogLevel::info, "wrote " + std::to_string(projector->points()) +
                              " points for the projector: tensorboard --logdir " + projector_folder.string());
    return 0;
  });
}
