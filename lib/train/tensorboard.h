// What a pretraining run shows in TensorBoard.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "io/event_file.h"
#include "nn/parameters.h"
#include "train/pretrain.h"
#include "train/view_images.h"

namespace dcl {

class TensorBoardLog {
 public:
  /// A new event file in `folder` for a run that goes on after `step` updates: what earlier files have of later steps
  /// is not shown any more. It is made for the first record (Error{io}); what cannot be written later is kept
  /// (AppendFile).
  TensorBoardLog(std::filesystem::path folder, int64_t step)
      : folder_(std::move(folder)), first_step_(step == 0 ? 0 : step + 1) {}

  /// train/loss, train/lr and so on: the columns of metrics.csv.
  void step(const StepRecord& record);
  /// knn/top1 and knn/top5.
  void monitor(const MonitorRecord& record);
  /// Histograms of the weights of convolutions and linear layers: weights/stem, weights/layer1 ... weights/head.
  void weights(int64_t step, const ParameterStore& parameters);
  /// The beginning of a run: its configuration as text, and what its first views look like.
  void configuration(std::string_view text);
  void views(const TiledImage& views);
  /// At the end of a run: Error{io} when records could not be written.
  void flush() {
    if (events_) events_->flush();
  }

 private:
  EventFile& events();

  std::filesystem::path folder_;
  int64_t first_step_;
  std::optional<EventFile> events_;
};

}  // namespace dcl
