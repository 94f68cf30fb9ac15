// Progress in tqdm's shape: a live bar on a terminal, a plain line now and then elsewhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "run/console.h"

namespace dcl {

/// "Train Epoch: [3/400] Loss: 4.8123:  45%|████▌     | 185/410 [00:41<00:50,  4.47it/s]" fitted into `columns`: the
/// bar shrinks first, then the times go, then the label is cut. rate: items per second, 0 when unknown.
std::string progress_line(std::string_view label, int64_t done, int64_t total, double elapsed, double rate, int columns,
                          bool utf8);
/// "00:41", "1:02:03"; "?" below 0 or not finite.
std::string duration_text(double seconds);

class Progress {
 public:
  /// total: items of this bar; plain_interval: seconds between plain lines where there is no live terminal.
  explicit Progress(int64_t total, double plain_interval = 30, Console& console = dcl::console());
  /// Removes the live line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` items are finished; the label is tqdm's description. Draws at most ten times a second.
  void update(int64_t done, std::string_view label);
  /// Leaves the last state as an ordinary line.
  void finish();

 private:
  std::string plain_text(double elapsed, double rate) const;

  Console& console_;
  int64_t total_, done_ = 0, drawn_done_ = 0;
  double interval_, start_, drawn_;
  double recent_items_ = 0, recent_seconds_ = 0;  // exponential means; their quotient is the rate
  std::string label_;
  bool finished_ = false;
};

/// A bar for work that says itself how much there is; it goes when all is done. To be handed on by std::ref.
class WorkProgress {
 public:
  explicit WorkProgress(std::string label) : label_(std::move(label)) {}
  /// `done` of `all` items are finished.
  void operator()(int64_t done, int64_t all);

 private:
  std::string label_;
  std::optional<Progress> bar_;
};

}  // namespace dcl
