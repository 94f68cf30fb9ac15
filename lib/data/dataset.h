// Data sets: images resident in memory as uint8 HWC RGB, with labels and names. Readers: STL-10 and CIFAR-10/100 in
// their binary distributions, folders of JPEG, PNG and PNM files, and the built-in `shapes`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "data/pixel_pool.h"
#include "math/view_params.h"

namespace dcl {

inline constexpr int32_t kUnknownLabel = -1;

/// Of its pixels.
inline int64_t bytes_of(const PooledImage& image) { return int64_t{3} * image.h * image.w; }

struct SkippedImage {
  std::string file;    ///< relative to the data directory
  std::string reason;  ///< one line
};

/// images, labels and names have one entry per image, in the order of the source (folder: sorted as torchvision's
/// ImageFolder sorts).
struct Dataset {
  std::string name;    ///< "stl10", "cifar10", "cifar100", "folder", "shapes"
  std::string split;   ///< as asked for; " (held out)" behind it says which part
  std::string folder;  ///< folder: where the images of the split are; else empty
  PixelPool pixels;
  std::vector<PooledImage> images;
  std::vector<int32_t> labels;       ///< index into classes, or kUnknownLabel
  std::vector<std::string> names;    ///< folder: path relative to the split's folder; else "train/17", counted from 0
  std::vector<std::string> classes;  ///< empty when nothing is labelled
  std::vector<SkippedImage> skipped;

  int64_t size() const { return static_cast<int64_t>(images.size()); }
  /// Empty when it is not known.
  const std::string& class_name(int64_t i) const {
    static const std::string kUnknown;
    const int32_t label = labels[static_cast<size_t>(i)];
    return label == kUnknownLabel ? kUnknown : classes[static_cast<size_t>(label)];
  }
  const uint8_t* image(int64_t i) const { return pixels.data() + images[static_cast<size_t>(i)].offset; }
  /// All pixels, u8 [bytes], for Backend::augment.
  ConstTensorRef pool() const { return tensor_of(pixels.data(), {pixels.size()}); }
  /// 'NAME', split 'SPLIT': for messages.
  std::string described() const { return "'" + name + "', split '" + split + "'"; }
  /// True when every image has the same extent.
  bool uniform() const;
  /// True when every image has a label.
  bool labelled() const;
  /// How likely another labelled image has the class of a labelled one: what tau_plus stands for (Chuang et al., 2020,
  /// section 3). Nothing of fewer than two labelled images.
  std::optional<double> same_class_probability() const;
  /// A data set of these images, in this order, with the same classes; their pixels are copied. Error{internal} for one
  /// that there is not.
  Dataset subset(std::span<const int32_t> indices) const;
};

struct DatasetSpec {
  std::string name = "shapes";  ///< stl10 | cifar10 | cifar100 | folder | shapes
  std::string dir;              ///< the data directory; unused by shapes
  /// stl10: train, unlabeled, train+unlabeled, test; folder: a sub-folder; else train, test.
  std::string split = "train";
  /// Share of each class that is kept for testing, in [0, 1), evenly spaced in its order: of an image i of the class,
  /// counted from 0, floor((i + 1) holdout) > floor(i holdout). Unlabelled images are not.
  double holdout = 0;
  bool held_out = false;         ///< those images, instead of the others
  int64_t max_per_class = 0;     ///< first N of each class; unlabelled images are not limited by it; 0: all
  int64_t max_images = 0;        ///< then the first N of all; 0: all
  int32_t shorter_side = 0;      ///< folder: larger images are shrunk to it (shrink.h); 0: none
  bool strict_images = false;    ///< an unreadable image is an error, not a skipped image
  double max_unreadable = 1;     ///< folder: more unreadable images than this share, percent, are an error
  int64_t shapes_count = 10000;  ///< images of `shapes`
  int32_t shapes_size = 32;      ///< their height and width, 16..256
  uint64_t shapes_seed = 0;
  /// folder, shapes: told now and then how many of all images are read, by the thread that loads them; may throw.
  std::function<void(int64_t done, int64_t all)> on_images = {};
};

/// Reads the data set, using all compute threads.
///  * folder: `dir`/`split` when that sub-folder exists, else `dir` itself where `split` is train, test, val or . (an
///    error when `dir` holds one of the first three). Each sub-folder is a class (searched recursively, links followed,
///    names sorted by bytes; the class list is the union over the splits, so labels agree between them); images beside
///    class folders, or in a folder without any, have no label. Hidden entries are ignored. Unreadable or absurd images
///    (decode.h) are skipped and listed.
///  * cifar100 has its fine labels. Nothing is downloaded (tools/download does).
/// Throws Error{usage} for an unknown name or split, Error{data} naming the file, expected and actual size for damaged
/// files, for an empty set, when more images of a folder are unreadable than max_unreadable says (each of the first 20
/// is then a warning), or any with strict_images.
Dataset load_dataset(const DatasetSpec& spec);

}  // namespace dcl
