// Models as safetensors files with the published tensor names and layouts: reading, writing, and telling from its tensors
// which network a file holds.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "nn/parameters.h"

namespace dcl {

/// Arch, stem and head dimensions, from names and shapes alone. Error{data} when the file holds no ResNet of the published
/// form.
ModelConfig model_config_of(const SafetensorsFile& file);

/// Copies every tensor of the model in; Error{data} in PyTorch's words when the file has not exactly the model's tensors.
void import_model(const SafetensorsFile& file, ParameterStore& store);

/// The published model's tensors, for write_safetensors; the store must outlive them.
std::vector<TensorSource> model_sources(const ParameterStore& store);

/// Appends the trainable tensors of `flat` (a buffer in the store's layout) as PREFIX + published name, PyTorch's layout.
void append_flat_sources(const ParameterStore& store, ConstTensorRef flat, const std::string& prefix,
                         std::vector<TensorSource>& sources);
/// The reverse; Error{data} naming what is missing or of another shape.
void import_flat(const SafetensorsFile& file, const ParameterStore& store, const std::string& prefix, TensorRef flat);

/// The encoder (no head, no gradients) of a model file, or with random weights.
ParameterStore load_encoder(Backend& backend, const std::filesystem::path& path);
ParameterStore untrained_encoder(Backend& backend, ModelConfig config, uint64_t seed);

}  // namespace dcl
