// A model file with random weights, for tests of what reads such files.
#pragma once

#include <string>

#include "core/registry.h"
#include "io/safetensors.h"
#include "train/model_file.h"

namespace dcl::test {

/// Writes the published tensors of a ResNet-18 with head, as a checkpoint has them, and returns the path.
inline std::string write_random_model(const std::string& path, const ModelConfig& config = {.arch = "resnet18"}) {
  const auto backend = make_backend("eigen");
  ParameterStore store(*backend, config, /*with_gradients=*/false);
  store.initialise(5);
  store.count_batches(7);
  write_safetensors(path, model_sources(store), {{"format", "pt"}, {"dcl.step", "7"}});
  return path;
}

}  // namespace dcl::test
