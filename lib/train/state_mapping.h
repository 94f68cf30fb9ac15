// Which network a file of tensors holds, told from names and shapes alone, and which tensor of the file is which of the
// model's. Files of this project, of the published code, of torchvision and of the usual SimCLR-like trainers are
// understood; everything that had to be assumed is said.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "io/tensor_file.h"
#include "nn/parameters.h"
#include "train/state_names.h"

namespace dcl {

struct MappedTensor {
  ParameterEntry entry;
  const FileTensor* source = nullptr;  ///< null: a counter that the file lacks; it is 0
};

/// nn.Linear(features, classes) beside a trunk: its weight [classes, features] and bias [classes].
struct MappedLinear {
  const FileTensor *weight = nullptr, *bias = nullptr;  ///< null: there is none
  int64_t classes() const { return weight ? weight->shape[0] : 0; }
};

struct StateMapping {
  ModelConfig config;                 ///< with head where the file has the published one
  TrunkNames names;                   ///< how the file calls the trunk
  std::vector<MappedTensor> tensors;  ///< of parameter_layout(config), in its order
  MappedLinear linear;                ///< where it was asked for
  std::vector<std::string> notices;   ///< what was found, assumed and left out, one line each
};

/// `tensors` must outlive the result. `prefix` chooses among several networks (choose_trunk). Error{data}, in PyTorch's
/// words where tensors are missing, unexpected or of another shape, when the file does not hold exactly one ResNet-18,
/// 34, 50 or 101. What stands outside of the network, and heads other than the published one, is left out with a
/// notice. `classifier` asks for the linear layer on the features that a module around the trunk calls fc, classifier
/// or linear, if there is one of these.
StateMapping map_state(std::span<const FileTensor> tensors, const std::string& prefix = "", bool classifier = false);

/// "resnet50, CIFAR stem, head 512-128"
std::string model_text(const ModelConfig& config);

}  // namespace dcl
