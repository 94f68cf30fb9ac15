// Checkpoints of a run: two safetensors files a step, in RUN/checkpoints.
//   step-00001234.safetensors        the model, exactly the tensors of the published class, counters in its metadata
//   step-00001234.state.safetensors  what continuing needs besides: optimizer state
// Invariant: the state is written before the model, whose metadata carries the state's checksum; a pair is valid when
// both files verify and belong together. `latest` is moved after both, old pairs go last, and a file that this program
// did not just replace is never renamed or deleted except by pruning.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "train/on_nan.h"

namespace dcl {

/// Where a run stands: `step` optimizer steps are done; the next batch is (epoch, step_in_epoch) of the loader.
struct RunPosition {
  int64_t step = 0, epoch = 0, step_in_epoch = 0;
  bool operator==(const RunPosition&) const = default;
};

/// What both files of a checkpoint say in their metadata, but for the accuracy.
struct CheckpointFacts {
  RunPosition position;
  /// Percent, of exactly these weights; "dcl.knn_top1" of the model alone: when a step is saved again with its
  /// accuracy, its state stays the same to the byte, and the old model valid until the new one is there.
  std::optional<double> knn_top1;
  std::map<std::string, std::string> settings;  ///< those that shape the trajectory; "dcl.config.NAME"
  std::map<std::string, std::string> machine;   ///< what its bits depend on besides; "dcl.machine.NAME"
  LeftOut left_out;                             ///< "dcl.left_out.NAME", absent when 0
  bool operator==(const CheckpointFacts&) const = default;
};
/// Error{data} naming the file and key when something is missing or not a number, and when no run comes to such counts.
CheckpointFacts facts_of(const SafetensorsFile& file);

struct Checkpoint {
  std::unique_ptr<const SafetensorsFile> model, state;  ///< never null
  CheckpointFacts facts;
};

/// A damaged or incomplete checkpoint that was passed over.
struct PassedOver {
  std::filesystem::path path;
  std::string reason;
};

class CheckpointFolder {
 public:
  /// Nothing is touched until save().
  explicit CheckpointFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path model_path(int64_t step) const;
  std::filesystem::path state_path(int64_t step) const;

  /// Writes state, then model, then the link `latest` (like `best` a copy where the file system has no links), and
  /// removes temporaries of writers that were killed. Creates the folder. Error{io} when anything cannot be written:
  /// what was there before is untouched. One process at a time.
  void save(const CheckpointFacts& facts, std::vector<TensorSource> model, std::vector<TensorSource> state) const;

  /// Points `best` at the checkpoint of `step`.
  void mark_best(int64_t step) const;
  /// knn_top1 of the checkpoint that `best` points to; nothing when there is none.
  std::optional<double> best_knn() const;

  /// newest_valid, with a warning for each that is passed over.
  std::optional<Checkpoint> newest_told(int64_t up_to = std::numeric_limits<int64_t>::max()) const;
  /// The newest pair that verifies byte for byte; damaged ones are listed in `passed_over`, newest first, and left
  /// alone. Steps above `up_to` do not count.
  std::optional<Checkpoint> newest_valid(std::vector<PassedOver>& passed_over,
                                         int64_t up_to = std::numeric_limits<int64_t>::max()) const;

  /// Deletes old pairs, keeping the newest `keep_last` (at least 1), steps divisible by `keep_every` (when above 0),
  /// and what `latest` and `best` point to. Steps beyond `latest` neither count nor are deleted. Never throws: a file
  /// that cannot be deleted is kept.
  void prune(int64_t keep_last, int64_t keep_every) const noexcept;

  const std::filesystem::path& path() const { return folder_; }
  /// Steps that have a model file, ascending; none where there is no folder. Error{io} when it cannot be read.
  std::vector<int64_t> steps() const;

 private:
  void point(const char* link, int64_t step) const;

  std::filesystem::path folder_;
};

/// Opens and verifies the pair of a model file (a link to one, or a run directory: its newest valid one, with a warning
/// for those that are passed over). Error{data} or Error{io} when it is not a valid pair.
Checkpoint open_checkpoint(const std::filesystem::path& path);

/// What `--resume` means: "auto" (the newest valid checkpoint of `folder`, or none), "never" (none; Error{usage} when
/// the folder has any), "must" (Error{data} when there is none), or a path for open_checkpoint. A run that began with a
/// path and has later checkpoints since continues with them; going back within `folder` is Error{usage}, since its
/// later checkpoints would then be taken for the continuation. Damaged checkpoints that are passed over are logged as
/// warnings.
std::optional<Checkpoint> choose_checkpoint(const std::string& resume, const CheckpointFolder& folder);

}  // namespace dcl
