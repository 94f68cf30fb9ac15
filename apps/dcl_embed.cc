// dcl-embed: features of images, to .npy and .csv, and as a map.
#include <fmt/format.h>

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

struct EmbedOptions {
  MapOptions map;
  std::filesystem::path out, projector;
  int64_t batch = 64, eval_size = 0;
  bool raw = false;

  void add_to(Options& options) {
    options.group("Features");
    options.add("out", &out, "the .npy file; names and labels go beside it, to .csv").required();
    options.add("raw", &raw, "as the encoder gives them; otherwise each row has unit length, as published");
    options.add("projector", &projector,
                "also write the features for TensorBoard's embedding projector into this folder");
    map.add_to(options);
    options.add("eval_size", &eval_size, "height and width; 0: the images' own, as published").range(0, kMostEvalSize);
    options.add("batch_size", &batch, "images per forward pass, at most").range(1, 65536);
  }

  /// Names and labels.
  std::filesystem::path table() const { return std::filesystem::path(out).replace_extension(".csv"); }

  /// Before any work. model: the file of the encoder.
  void check(const std::filesystem::path& model) const {
    if (out.extension() != ".npy") fail(ErrorKind::usage, "--out must end in .npy");
    if (!map.file.empty() && map.file.extension() != ".svg") fail(ErrorKind::usage, "--map must end in .svg");
    for (const std::filesystem::path& file : {out, table(), map.file})
      refuse_replacing(file, model, "the encoder itself");
  }
};

/// Everything that the features go to. Files are opened before the work starts.
class Outputs {
 public:
  Outputs(EmbedOptions& options, const Dataset& dataset, int64_t dim)
      : options_(options),
        dataset_(dataset),
        dim_(dim),
        npy_(options.out, NpyWriter::Type::f32, {dim}),
        map_(options.map.open(dataset, dim)) {
    if (!options.projector.empty()) projector_.emplace(options.projector, dataset, dim);
    if (map_) map_file_.emplace(options.map.file);
  }

  /// Features of the next images, as the encoder gives them.
  void append(std::span<const float> features) {
    rows_.assign(features.begin(), features.end());
    if (!options_.raw) normalize_rows(rows_, dim_);
    npy_.append(rows_);
    if (projector_) projector_->append(rows_);
    if (map_) map_->append(rows_);
  }
  int64_t rows() const { return npy_.rows(); }

  /// After the features of all images.
  void commit(Backend& backend) {
    WorkProgress map_progress("Map");
    if (map_) map_->make(backend, std::ref(map_progress));
    // The files belong together: what may fail for a full disk comes before any of them appears.
    CsvWriter table(options_.table(), table_columns(map_.has_value()));
    write_table(dataset_, map_ ? &*map_ : nullptr, table);
    if (map_) map_file_->write(map_->svg()), map_file_->finish();
    npy_.commit();
    table.commit();
    if (map_) map_file_->commit();
    if (projector_) projector_->commit(backend);
    log_written();
  }

 private:
  void log_written() const {
    log(LogLevel::info, fmt::format("wrote {} x {} features to {}", npy_.rows(), dim_, options_.out.native()));
    if (projector_)
      log(LogLevel::info, fmt::format("wrote {} points for the projector: tensorboard --logdir {}",
                                      projector_->points(), options_.projector.native()));
    if (map_)
      log(LogLevel::info, fmt::format("wrote a map of {} images to {}: open it in a browser", map_->points(),
                                      options_.map.file.native()));
  }

  const EmbedOptions& options_;
  const Dataset& dataset_;
  int64_t dim_;
  NpyWriter npy_;
  std::optional<ProjectorWriter> projector_;
  std::optional<FeatureMap> map_;
  std::optional<AtomicFile> map_file_;
  std::vector<float> rows_;
};

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  using namespace dcl;
  Options options(
      "dcl-embed",
      "Writes the encoder's features of every image of --split: OUT.npy (f32 [images, features]) and OUT.csv.",
      {"dcl-embed --dataset folder --data photos --model_path runs/stl10 --out x.npy"});
  DataOptions data;
  EncoderOptions encoder;
  DeviceOptions device;
  EmbedOptions embed;
  data.add_to(options, Splits::one);
  encoder.add_to(options);
  embed.add_to(options);
  device.add_to(options);

  return run_app(argc, argv, options, [&] {
    data.resolve("train");
    encoder.resolve();
    embed.check(encoder.model_path);
    const auto backend = device.open();
    const ParameterStore store = encoder.open(*backend);
    const Dataset dataset = data.load_train();
    report(dataset);
    FeatureExtractor extractor(*backend, store, evaluation_pixels(dataset, embed.eval_size, encoder.pixels()),
                               dataset.size(), embed.batch, device.type());
    Outputs outputs(embed, dataset, extractor.dim());
    Progress progress(dataset.size());
    extractor.extract(dataset, all_images(dataset), evaluation_views(embed.eval_size), 0,
                      [&](std::span<const float> features) {
                        outputs.append(features);
                        progress.update(outputs.rows(), "Embed");
                        return true;
                      });
    progress.finish();
    outputs.commit(*backend);
    return 0;
  });
}
