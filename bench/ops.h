// What dcl-bench times: operations that set themselves up on a backend, with the work that one run of them does.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/backend.h"
#include "nn/model_config.h"
#include "objective/objective.h"

namespace dcl::bench {

/// Enqueues one run.
using Run = std::function<void()>;

struct Operation {
  std::string name;   ///< "objective/debiased", "conv/forward", "step", ...
  std::string shape;  ///< in words
  int64_t batch = 1;  ///< images
  double work = 0;    ///< of one run, in `unit`
  const char* unit = "";
  int count = 1;                         ///< how often a network has it
  bool recorded = false;                 ///< on a device, as part of a step that is recorded and replayed
  std::function<Run(Backend&)> prepare;  ///< the run owns its memory
};

/// What the operations are of.
struct Subject {
  ModelConfig model;
  int64_t batch = 32, size = 32;  ///< images of size x size pixels
  DType dtype = DType::f32;       ///< of activations
};

/// "resnet50/cifar 32x32"
std::string network_text(const Subject& subject);

/// Forward and backward, f32, 2 * batch rows of `dim`: floating-point operations of the similarities and their
/// gradient.
Operation objective_operation(const ObjectiveSettings& settings, int64_t batch, int64_t dim);
/// Every distinct convolution of the network, in its order, each with the passes that training takes; floating-point
/// operations.
std::vector<Operation> conv_operations(const Subject& subject);
/// Features of images, batch norm folded; images.
Operation embed_operation(const Subject& subject);
/// A pretraining step on two views of each image as dcl-pretrain takes it, views and update included; images.
Operation step_operation(const Subject& subject);
/// The views of a step, from larger images; views.
Operation augment_operation(const Subject& subject);

/// One convolution with memory of its own. inference: with bias and ReLU, packed filter, forward only.
Run conv_run(Backend& backend, const ConvDesc& desc, ConvPass pass, bool inference);

}  // namespace dcl::bench
