// Features of images: the encoder in evaluation mode on whole images, as the published memory bank and test transform.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/backend.h"
#include "data/batch_input.h"
#include "data/batch_maker.h"
#include "nn/inference.h"
#include "nn/parameters.h"

namespace dcl {

/// The largest height and width that programs resize whole images to.
inline constexpr int64_t kMostEvalSize = 4096;

/// `pixels` with the extent at which images of h x w are evaluated: size x size, or with 0 their own.
AugmentDesc evaluation_pixels(int64_t h, int64_t w, int64_t size, AugmentDesc pixels);
/// The same of a data set. Error{data} when its images differ in extent, which needs a size.
AugmentDesc evaluation_pixels(const Dataset& dataset, int64_t size, AugmentDesc pixels = {});

/// 0 .. size-1; or those with a label.
std::vector<int32_t> all_images(const Dataset& dataset);
std::vector<int32_t> labelled_images(const Dataset& dataset);
std::vector<int32_t> labels_of(const Dataset& dataset, std::span<const int32_t> images);

/// Images of the pixels' extent in the network at a time when a pass goes over `images` of them: at most `most`. On a
/// device, which chooses engines for every number anew, always one of a few numbers, and no more than keep it busy.
int64_t images_per_pass(const Backend& backend, const ModelConfig& config, const AugmentDesc& pixels, int64_t images,
                        int64_t most);

class FeatureExtractor {
 public:
  /// For views of pixels.h x pixels.w of `images` images, or fewer, of which at most `most` are in the network at a
  /// time. Batch norm is folded into the convolutions once, here: later changes of the parameters have no effect.
  FeatureExtractor(Backend& backend, const ParameterStore& parameters, const AugmentDesc& pixels, int64_t images,
                   int64_t most, DType dtype);

  int64_t dim() const;
  /// Images of a pass.
  int64_t batch() const { return batch_; }
  const AugmentDesc& pixels() const { return pixels_; }

  class Reader;

  /// Calls sink(rows [count, dim]) for consecutive groups of `images`, in their order; features are not normalised.
  /// Each image is seen through view 0 of `views` in `epoch`. Stops early when sink returns false, and returns whether
  /// it reached the end. Error{numerical} naming the image when a feature is not finite.
  using Sink = std::function<bool(std::span<const float> rows)>;
  bool extract(const Dataset& dataset, std::span<const int32_t> images, const ViewSampler& views, uint32_t epoch,
               const Sink& sink);

 private:
  Backend& backend_;
  const AugmentDesc pixels_;
  int64_t batch_;
  InferencePlan plan_;
  BatchInput input_;
  std::vector<float> rows_;
};

/// Passes over images of one data set, in memory that is taken once.
class FeatureExtractor::Reader {
 public:
  /// Extractor and data set must outlive this; the pixels of the data set may change between passes.
  Reader(FeatureExtractor& extractor, const Dataset& dataset, ViewSampler views);

  /// Features [images, dim] of at most batch() images, which need not be finite, until the extractor's next pass.
  std::span<const float> read(std::span<const int32_t> images, uint32_t epoch);

 private:
  FeatureExtractor& extractor_;
  const BatchMaker maker_;
  BatchMaker::Slot slot_;
};

/// The first of `rows` [count, dim] with a number that is not finite, which can be neither compared nor classified; -1:
/// there is none.
int64_t first_not_finite(std::span<const float> rows, int64_t dim);
/// Error{numerical} for such features of an image; `image`: which.
[[noreturn]] void fail_not_finite(const std::string& image);

/// Divides each row by max(|row|, 1e-12) (F.normalize).
void normalize_rows(std::span<float> rows, int64_t dim);

struct FeatureSettings {
  int64_t eval_size = 0;  ///< 0: the images' own
  int64_t batch = 256;    ///< images per forward pass
  AugmentDesc pixels;     ///< statistics of the normalisation; its size is not used
  DType dtype = DType::f32;
};

/// Images of a data set, by number.
struct FeatureImages {
  const Dataset& dataset;
  std::span<const int32_t> images;
};

struct UnitFeatures {
  std::vector<Buffer> sets;  ///< f32 [images, dim] in the backend's memory, rows of unit length
  int64_t dim = 0;
};

/// Normalised features of each set. `proceed`, where given, is asked after every batch, with how many images of all are
/// done; nothing is returned when it says no. Errors are those of evaluation_pixels and FeatureExtractor.
std::optional<UnitFeatures> unit_features(Backend& backend, const ParameterStore& parameters,
                                          std::span<const FeatureImages> sets, const FeatureSettings& settings,
                                          const std::function<bool(int64_t done, int64_t all)>& proceed = {});

}  // namespace dcl
