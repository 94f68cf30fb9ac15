// What dcl-pretrain --estimate prints.
#pragma once

#include "train/pretrain.h"

namespace dcl {

/// How long steps are timed for.
inline constexpr double kEstimateSeconds = 5;

/// One line for each part of the run, on standard output.
void print_estimate(const RunEstimate& estimate, const PretrainSettings& settings);

}  // namespace dcl
