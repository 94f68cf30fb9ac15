// Engines of a library on the device: which of them are right, and which of those is fastest.
#pragma once

#include <optional>
#include <span>
#include <string>

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

/// Which engine takes least time, on random operands; the first of those that are equally fast. Takes memory for the
/// operands, twice the results and the largest workspace meanwhile. Passed over are engines that fail to run, whose
/// results are wrong (count_wrong), or whose bits are not the same every time, whatever the library notes of them;
/// nothing, and why in `failure`, when none is left. Where memory does not suffice, the first, untried.
std::optional<EngineVerdict> fastest_engine(Context&, const ConvPattern&, std::span<const Engine>,
                                            std::string& failure);

/// The first that runs and whose results are right.
std::optional<EngineVerdict> first_engine(Context&, const ConvPattern&, std::span<const Engine>, std::string& failure);

}  // namespace dcl::cuda
