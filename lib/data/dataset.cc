#include "data/dataset.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "data/readers.h"

namespace dcl {
namespace {

struct Reader {
  const char* name;
  Dataset (*load)(const DatasetSpec&);
  bool needs_dir;
};
constexpr Reader kReaders[] = {
    {"stl10", load_stl10, true},   {"cifar10", load_cifar10, true}, {"cifar100", load_cifar100, true},
    {"folder", load_folder, true}, {"shapes", load_shapes, false},
};

const Reader& reader_of(const DatasetSpec& spec) {
  for (const Reader& reader : kReaders) {
    if (spec.name == reader.name) return reader;
  }
  fail(ErrorKind::usage, "unknown data set '" + spec.name + "'; expected stl10, cifar10, cifar100, folder or shapes");
}

/// Of image i of a class.
bool is_held_out(int64_t i, double share) {
  return std::floor(static_cast<double>(i + 1) * share) > std::floor(static_cast<double>(i) * share);
}

}  // namespace

bool Dataset::uniform() const {
  return std::all_of(images.begin(), images.end(), [&](const PooledImage& image) {
    return image.h == images.front().h && image.w == images.front().w;
  });
}

bool Dataset::labelled() const {
  return std::none_of(labels.begin(), labels.end(), [](int32_t label) { return label == kUnknownLabel; });
}

std::optional<double> Dataset::same_class_probability() const {
  std::vector<double> counts(classes.size());
  double all = 0, pairs = 0;
  for (const int32_t label : labels)
    if (label != kUnknownLabel) ++counts[static_cast<size_t>(label)], ++all;
  for (const double count : counts) pairs += count * (count - 1);
  return all < 2 ? std::nullopt : std::optional(pairs / (all * (all - 1)));
}

Dataset Dataset::subset(std::span<const int32_t> indices) const {
  Dataset out{.name = name, .split = split, .folder = folder, .classes = classes};
  int64_t bytes = 0;
  for (const int32_t index : indices) {
    if (index < 0 || index >= size()) fail(ErrorKind::internal, "a subset of images that there are not");
    const auto i = static_cast<size_t>(index);
    out.images.push_back({bytes, images[i].h, images[i].w});
    out.labels.push_back(labels[i]);
    out.names.push_back(names[i]);
    bytes += bytes_of(images[i]);
  }
  out.pixels.resize(bytes);
  for (size_t i = 0; i < indices.size(); ++i)
    std::copy_n(image(indices[i]), bytes_of(out.images[i]), out.pixels.data() + out.images[i].offset);
  return out;
}

std::vector<int64_t> select_images(const DatasetSpec& spec, std::span<const int32_t> labels) {
  const bool any_label =
      std::any_of(labels.begin(), labels.end(), [](int32_t label) { return label != kUnknownLabel; });
  if (spec.max_per_class > 0 && !labels.empty() && !any_label) {
    fail(ErrorKind::usage, "a limit per class needs labels, and these images have none; limit the number of images");
  }
  if (spec.holdout > 0 && !labels.empty() && !any_label)
    fail(ErrorKind::usage, "holdout takes a share of each class, and these images have no labels");
  struct Class {
    int64_t seen = 0, taken = 0;
  };
  std::vector<Class> classes;
  std::vector<int64_t> selected;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (spec.max_images > 0 && std::ssize(selected) == spec.max_images) break;
    if (labels[i] == kUnknownLabel) {
      if (spec.held_out) continue;
    } else {
      const auto label = static_cast<size_t>(labels[i]);
      if (label >= classes.size()) classes.resize(label + 1);
      Class& its = classes[label];
      if (is_held_out(its.seen++, spec.holdout) != spec.held_out) continue;
      if (spec.max_per_class > 0 && its.taken++ >= spec.max_per_class) continue;
    }
    selected.push_back(static_cast<int64_t>(i));
  }
  return selected;
}

Dataset load_dataset(const DatasetSpec& spec) {
  const Reader& reader = reader_of(spec);
  if (spec.max_per_class < 0 || spec.max_images < 0) fail(ErrorKind::usage, "limits of images must not be negative");
  if (!(spec.holdout >= 0 && spec.holdout < 1)) fail(ErrorKind::usage, "holdout is a share of the images, in [0, 1)");
  if (spec.shorter_side > 0 && spec.name != "folder")
    fail(ErrorKind::usage, "shorter_side shrinks the images of a folder; data set '" + spec.name + "' has one size");
  if (reader.needs_dir && spec.dir.empty()) {
    fail(ErrorKind::usage, "data set '" + spec.name + "' needs a data directory");
  }
  Dataset out = reader.load(spec);
  out.name = spec.name;
  out.split = spec.split + (spec.held_out ? " (held out)" : "");
  if (out.images.empty() && spec.held_out)
    fail(ErrorKind::data,
         spec.name + ": no class has enough images for one of them to be held out; take a larger share");
  if (out.images.empty()) fail(ErrorKind::data, spec.name + ": no images in " + quoted(spec.dir));
  if (out.size() > std::numeric_limits<int32_t>::max()) {
    fail(ErrorKind::data, spec.name + ": " + std::to_string(out.size()) + " images; 2147483647 at most can be indexed");
  }
  return out;
}

}  // namespace dcl
