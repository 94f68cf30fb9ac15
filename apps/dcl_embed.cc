// dcl-embed: features of images, to .npy and .csv, and as a map.
#include <functional>
#include <optional>

#include "common_options.h"
#include "core/log.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "io/npy.h"
#include "run/app.h"
#include "run/progress.h"
#include "train/feature_map.h"
#include "train/features.h"
#include "train/projector.h"

namespace dcl {
namespace {

/// --map and what belongs to it.
struct MapOptions {
  std::filesystem::path file;
  std::string method = "tsne";
  MapSettings settings;

  void add_to(Options& options) {
    options.add(
        "map", &file,
        "also draw the features as a map in the plane, one dot per image, into this .svg file; the places go to "
        "the .csv file");
    options.add("map_method", &method, "how the map is made: t-SNE, or the first two principal components")
        .choices({"tsne", "pca"});
    options.add("map_perplexity", &settings.perplexity, "of t-SNE: how many neighbours of each image count")
        .range(2, 500);
  }
  /// Of `dataset`, when it is asked for.
  std::optional<FeatureMap> open(const Dataset& dataset, int64_t dim) {
    if (file.empty()) return {};
    settings.method = method == "pca" ? MapSettings::Method::pca : MapSettings::Method::tsne;
    return std::optional<FeatureMap>(std::in_place, dataset, dim, settings);
  }
};

/// row, file name, label (index and class name; -1 and empty when unknown) of every image, and with a map its place
/// (empty when it is not shown).
void write_table(const Dataset& dataset, const FeatureMap* map, CsvWriter& csv) {
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    csv.field(i).field(std::string_view(dataset.names[at]));
    csv.field(dataset.labels[at]).field(std::string_view(dataset.class_name(i)));
    if (const Point* place = map ? map->place(static_cast<int32_t>(i)) : nullptr)
      csv.field(place->x).field(place->y);
    else if (map)
      csv.field(std::string_view()).field(std::string_view());
    csv.end_row();
  }
  csv.finish();
}

std::vector<std::string> table_columns(bool with_map) {
  std::vector<std::string> columns = {"row", "name", "label", "class"};
  if (with_map) columns.insert(columns.end(), {"map_x", "map_y"});
  return columns;
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
  MapOptions drawing;
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
  drawing.add_to(options);
  options.add("eval_size", &eval_size, "height and width; 0: the images' own, as published").range(0, kMostEvalSize);
  options.add("batch_size", &batch, "images per forward pass").range(1, 65536);
  device.add_to(options);

  return run_app(argc, argv, options, [&] {
    data.resolve("train");
    if (out.extension() != ".npy") fail(ErrorKind::usage, "--out must end in .npy");
    if (!drawing.file.empty() && drawing.file.extension() != ".svg") fail(ErrorKind::usage, "--map must end in .svg");
    const std::filesystem::path names = std::filesystem::path(out).replace_extension(".csv");
    for (const std::filesystem::path& file : {out, names, drawing.file})
      refuse_replacing(file, encoder.model_path, "the encoder itself");
    const auto backend = device.open();
    const ParameterStore store = encoder.open(*backend);
    const Dataset dataset = load_dataset(data.train);
    report(dataset);
    FeatureExtractor extractor(*backend, store, evaluation_pixels(dataset, eval_size, encoder.pixels()), dataset.size(),
                               batch, device.type());
    NpyWriter npy(out, NpyWriter::Type::f32, {extractor.dim()});
    std::optional<ProjectorWriter> projector;
    if (!projector_folder.empty()) projector.emplace(projector_folder, dataset, extractor.dim());
    std::optional<FeatureMap> map = drawing.open(dataset, extractor.dim());
    std::optional<AtomicFile> map_file;
    if (map) map_file.emplace(drawing.file);
    Progress progress(dataset.size());
    std::vector<float> rows;
    extractor.extract(dataset, all_images(dataset), evaluation_views(eval_size), 0,
                      [&](std::span<const float> features) {
                        rows.assign(features.begin(), features.end());
                        if (!raw) normalize_rows(rows, extractor.dim());
                        npy.append(rows);
                        if (projector) projector->append(rows);
                        if (map) map->append(rows);
                        progress.update(npy.rows(), "Embed");
                        return true;
                      });
    progress.finish();
    WorkProgress map_progress("Map");
    if (map) map->make(*backend, std::ref(map_progress));
    // The files belong together: what may fail for a full disk comes before any of them appears.
    CsvWriter table(names, table_columns(map.has_value()));
    write_table(dataset, map ? &*map : nullptr, table);
    if (map) map_file->write(map->svg()), map_file->finish();
    npy.commit();
    table.commit();
    if (map) map_file->commit();
    if (projector) projector->commit(*backend);
    log(LogLevel::info, "wrote " + std::to_string(npy.rows()) + " x " + std::to_string(extractor.dim()) +
                            " features to " + out.string());
    if (projector)
      log(LogLevel::info, "wrote " + std::to_string(projector->points()) +
                              " points for the projector: tensorboard --logdir " + projector_folder.string());
    if (map)
      log(LogLevel::info, "wrote a map of " + std::to_string(map->points()) + " images to " + drawing.file.string() +
                              ": open it in a browser");
    return 0;
  });
}
