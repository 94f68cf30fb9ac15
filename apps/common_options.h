// Option groups that several programs share, so that a name means the same everywhere, and what they become.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "augment/augment.h"
#include "core/backend.h"
#include "core/registry.h"
#include "data/dataset.h"
#include "nn/parameters.h"
#include "run/options.h"

namespace dcl {

/// What a program reads of a data set: one split, or one to train on (or a kNN bank) and one to test on (queries).
enum class Splits { one, two };

/// Which images.
struct DataOptions {
  DatasetSpec train{.name = "stl10", .dir = "data", .split = ""};
  std::string test_split = "test";
  int64_t test_max_per_class = 0;
  int64_t shapes_test_count = 0;  ///< 0: a fifth of shapes_count
  /// Called now and then while images are read; may throw.
  std::function<void()> while_reading = {};

  void add_to(Options& options, Splits splits);
  /// Gives an empty --split its meaning: `stl10_default` for stl10, `others_default` for the others. Call after
  /// parsing.
  void resolve(const std::string& stl10_default, const std::string& others_default = "train");
  /// The images of --split.
  Dataset load_train() const;
  /// The test split, or what is held out, beside `training`. Error{data} also where a folder without splits gives both
  /// the same images.
  Dataset load_test(const Dataset& training) const;

 private:
  /// So many shapes as there are in their split.
  DatasetSpec counted(DatasetSpec spec) const;
  DatasetSpec test() const;
  Dataset load(DatasetSpec spec) const;
};

/// What load() gives. Where it finds nothing that can be used (Error{data}, Error{io}) and that was not asked for:
/// nothing, with the warning "`without`: why".
std::optional<Dataset> load_if_there(bool asked_for, const std::string& without, const std::function<Dataset()>& load);

/// Warns where each of the `bank` images would be among the k neighbours of every query.
void check_neighbours(int64_t k, int64_t bank);

/// Logs what was loaded and what was skipped; the skipped files go to `list` (CSV) when there are any and it is not
/// empty.
void report(const Dataset& dataset, const std::filesystem::path& list = {});

/// Where and how it is computed.
struct DeviceOptions {
  static constexpr const char* kAutomatic = "auto";

  std::string device = kAutomatic, dtype = "f32";
  int threads = 0;

  /// dtype can be kAutomatic where it is that before.
  void add_to(Options& options);
  /// Not of kAutomatic: after open().
  DType type() const { return precision_of(dtype).activations; }
  /// Sets the number of compute threads and makes the backend; logs which one it is. A dtype kAutomatic becomes
  /// usual_training_dtype().
  std::unique_ptr<Backend> open();
};

/// --model_prefix, of programs that look for an encoder in a file.
void add_model_prefix(Options& options, std::string* prefix);

/// --normalization, of programs that show images to an encoder; "auto" is what its file says (normalization_for).
void add_normalization(Options& options, std::string* normalization);

/// Which encoder: a file, or random weights to compare with.
struct EncoderOptions {
  std::filesystem::path model_path;
  std::string model_prefix;
  bool untrained = false;
  std::string arch = "resnet50", stem = "cifar", normalization = "auto";
  uint64_t seed = 0;

  void add_to(Options& options);
  /// A run directory's newest model takes its place. After parsing.
  void resolve();
  /// Error{usage} unless exactly one of the two is asked for. Logs what it is. The normalization is that of the file
  /// afterwards where it was "auto".
  ParameterStore open(Backend& backend, bool with_gradients = false);
  /// How it is shown images; of no extent. After open().
  AugmentDesc pixels() const { return {.normalization = normalization_of(normalization)}; }

 private:
  /// Warns of --arch and --stem beside a file with another network.
  void compare_with(const ModelConfig& config) const;

  const Options* options_ = nullptr;  ///< that these were added to
};

/// What a figure was computed by, whatever the images.
struct FigureContext {
  const Options& options;
  const DeviceOptions& device;
  const Backend& backend;
  const ParameterStore& store;
};
/// Completes the JSON object of a figure by what it was computed from and on: data, encoder, device, and every setting
/// that it does not have yet.
void add_context(nlohmann::ordered_json& figure, const FigureContext& context, const Dataset& data);
/// The same of a figure with test images.
void add_context(nlohmann::ordered_json& figure, const FigureContext& context, const Dataset& train,
                 const Dataset& test, const EncoderOptions& encoder);
/// One line on standard output; bytes of file names that are not UTF-8 become U+FFFD.
void print_json(const nlohmann::ordered_json& object);

}  // namespace dcl
