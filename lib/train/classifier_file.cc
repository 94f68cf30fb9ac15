#include "train/classifier_file.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "augment/augment.h"
#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/number.h"
#include "io/csv.h"
#include "io/safetensors.h"
#include "io/utf8.h"
#include "train/features.h"
#include "train/model_file.h"

namespace dcl {
namespace {

std::string record_of(const std::vector<std::string>& names) {
  std::string record = csv_line(names);
  record.pop_back();
  return made_utf8(record);
}

Classifier load(Backend& backend, const std::filesystem::path& path, const std::string& prefix, bool required) {
  const std::unique_ptr<TensorFile> file = open_model_file(path);
  const StateMapping mapping = map_model(*file, prefix, /*classifier=*/true);
  log(LogLevel::info, mapping.notices);
  const int64_t count = mapping.linear.classes();
  if (required && count == 0)
    fail(ErrorKind::data, quoted(path) + " has an encoder, but not one classifier on its " +
                              std::to_string(feature_width(mapping.config)) +
                              " features (fc, classifier or linear): dcl-linear --out writes one");
  std::vector<std::string> classes;
  if (count > 0) classes = class_names(*file, count);
  const bool named = !classes.empty();
  for (int64_t i = 0; !named && i < count; ++i) classes.push_back(std::to_string(i));
  return {import_encoder(backend, *file, mapping), count > 0 ? import_linear(*file, mapping.linear) : LinearValues{},
          std::move(classes), named, file->metadata()};
}

}  // namespace

void write_classifier(const std::filesystem::path& path, const ParameterStore& encoder, const LinearValues& linear,
                      const std::vector<std::string>& classes, FileMetadata metadata) {
  const int64_t count = linear.classes();
  if (encoder.config().head || std::ssize(classes) != count)
    fail(ErrorKind::internal, "a classifier is an encoder without head and a name for every class");
  metadata.insert_or_assign("format", "pt");
  metadata.insert_or_assign(std::string(kClassesKey), record_of(classes));
  std::vector<TensorSource> sources = model_sources(encoder);
  sources.push_back(
      tensor_source("fc.weight", {count, feature_width(encoder.config())}, std::span<const float>(linear.weight)));
  sources.push_back(tensor_source("fc.bias", {count}, std::span<const float>(linear.bias)));
  write_safetensors(path, std::move(sources), std::move(metadata));
}

LinearValues import_linear(const TensorFile& file, const MappedLinear& linear) {
  LinearValues values{std::vector<float>(static_cast<size_t>(linear.weight->elements())),
                      std::vector<float>(static_cast<size_t>(linear.bias->elements()))};
  file.read(*linear.weight, std::span(values.weight));
  file.read(*linear.bias, std::span(values.bias));
  const auto finite = [](float value) { return std::isfinite(value); };
  if (!std::ranges::all_of(values.weight, finite) || !std::ranges::all_of(values.bias, finite))
    fail(ErrorKind::numerical,
         quoted(file.path()) + ": the classifier " + quoted(linear.weight->name) + " holds values that are not finite");
  return values;
}

std::vector<std::string> class_names(const TensorFile& file, int64_t classes) {
  const auto found = file.metadata().find(kClassesKey);
  if (found == file.metadata().end()) return {};
  std::vector<std::string> names = csv_split(found->second);
  if (std::ssize(names) == classes) return names;
  log(LogLevel::warning, quoted(file.path()) + " has " + std::to_string(names.size()) + " names for " +
                             std::to_string(classes) + " classes: numbers are used");
  return {};
}

std::string normalization_for(const std::string& wanted, const FileMetadata& metadata) {
  if (wanted != "auto") return wanted;
  const auto found = metadata.find(kNormalizationKey);
  if (found == metadata.end()) return "published";
  const std::vector<std::string> known = normalization_names();
  if (std::ranges::find(known, found->second) == known.end())
    fail(ErrorKind::data, "the file names a normalization that is not known, '" + escaped(found->second) +
                              "': say with --normalization how its encoder is shown images");
  return found->second;
}

int64_t eval_size_for(int64_t wanted, const FileMetadata& metadata) {
  const auto found = metadata.find(kEvalSizeKey);
  if (wanted > 0 || found == metadata.end()) return wanted;
  const auto size = parse_number<int64_t>(found->second);
  if (!size || *size < 1 || *size > kMostEvalSize) return wanted;
  const std::string side = std::to_string(*size);
  log(LogLevel::info, "images are evaluated at " + side + " x " + side + ", as in the classifier's test");
  return *size;
}

Classifier load_classifier(Backend& backend, const std::filesystem::path& path, const std::string& prefix) {
  return load(backend, path, prefix, /*required=*/true);
}

Classifier load_any_model(Backend& backend, const std::filesystem::path& path, const std::string& prefix) {
  return load(backend, path, prefix, /*required=*/false);
}

}  // namespace dcl
