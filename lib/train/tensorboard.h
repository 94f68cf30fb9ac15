// What a pretraining run shows in TensorBoard.
#pragma once

#include <filesystem>
#include <string_view>

#include "io/event_file.h"
#include "nn/parameters.h"
#include "train/pretrain.h"
#include "train/view_images.h"

namespace dcl {

class TensorBoardLog {
 public:
  /// A new event file in `folder` for a run that goes on after `step` updates: what earlier files have of later steps
  /// is not shown any more. Error{io}. What cannot be written later is kept (AppendFile).
  TensorBoardLog(const std::filesystem::path& folder, int64_t step) : events_(folder, step == 0 ? 0 : step + 1) {}

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
  void flush() { events_.flush(); }

 private:
  EventFile events_;
};

}  // namespace dcl
