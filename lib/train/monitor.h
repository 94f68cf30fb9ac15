// The kNN monitor: weighted kNN accuracy of an encoder, bank and queries as features in evaluation mode.
#pragma once

#include <functional>
#include <optional>

#include "train/features.h"
#include "train/knn.h"

namespace dcl {

struct MonitorSettings {
  int64_t k = 200;           ///< neighbours; at most the bank's size
  double temperature = 0.5;  ///< weight of a neighbour: exp(similarity / temperature)
  int64_t eval_size = 0;     ///< 0: the images' own
  int64_t batch = 256;       ///< images per forward pass
  AugmentDesc pixels;        ///< statistics of the normalisation; its size is not used
};

struct MonitorResult {
  double top1 = 0, top5 = 0;  ///< percent
  int64_t bank = 0, queries = 0, k = 0;
};

/// Evaluates on the labelled images of both sets. `proceed`, where given, is asked after every batch, with how many
/// images of all are done; nothing is returned when it says no. Error{data} when either set has no labelled image.
std::optional<MonitorResult> knn_accuracy(Backend& backend, const ParameterStore& parameters, const Dataset& bank,
                                          const Dataset& query, const MonitorSettings& settings, DType dtype,
                                          const std::function<bool(int64_t done, int64_t all)>& proceed = {});

}  // namespace dcl
