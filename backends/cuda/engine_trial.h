// Engines of a library on the device: which of them are right, and which of those is fastest.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cuda/conv_planner.h"

namespace dcl::cuda {

/// What may serve a pattern.
struct Engine {
  std::string name;  ///< for messages
  ConvPlan* plan = nullptr;
};

struct EngineVerdict {
  size_t engine = 0;
  /// false: memory did not suffice, and nothing is known of the engine. To be asked again at another time.
  bool tried = false;
  bool operator==(const EngineVerdict&) const = default;
};

/// What there is to say of engines that were not taken.
struct TrialReport {
  struct Rejection {
    size_t engine;
    const char* why;  ///< what it gives instead of results
  };
  std::vector<Rejection> rejected;  ///< that ran, and are passed over
  std::string failure;              ///< why the last of them was not taken
  std::optional<size_t> last;       ///< the engine that ran last: to blame when the CUDA context is lost meanwhile
};

/// Which engine takes least time, on random operands; the first of those that are equally fast. Takes memory for the
/// operands, twice the result and the largest workspace meanwhile. Passed over are engines that fail to run, whose
/// results are wrong (count_wrong), or whose bits are not the same every time, whatever the library notes of them;
/// nothing, and why in the report, when none is left. Where memory does not suffice, the first, untried.
std::optional<EngineVerdict> fastest_engine(Context&, const ConvPattern&, std::span<const Engine>, TrialReport& report);

/// The first that runs and whose results are right.
std::optional<EngineVerdict> first_engine(Context&, const ConvPattern&, std::span<const Engine>, TrialReport& report);

}  // namespace dcl::cuda
