// Models in files: written with the published tensor names and layouts, read from whatever map_state understands.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/tensor_file.h"
#include "nn/parameters.h"
#include "train/state_mapping.h"

namespace dcl {

/// A num_batches_tracked of any type: files that were cast as a whole have floating ones. 0 for a value that is no
/// count.
int64_t read_counter(const TensorFile& file, const FileTensor& tensor);

/// Copies the model's tensors in, one after the other. Error{data} when the file holds another model than `store` has
/// (one with a head may be read into a store without).
void import_model(const TensorFile& file, const StateMapping& mapping, ParameterStore& store);
/// The same by map_state, for a file that must hold exactly one model.
void import_model(const TensorFile& file, ParameterStore& store);

/// The published model's tensors, for write_safetensors; the store must outlive them.
std::vector<TensorSource> model_sources(const ParameterStore& store);

/// Appends the trainable tensors of `flat` (a buffer in the store's layout) as PREFIX + published name, PyTorch's
/// layout.
void append_flat_sources(const ParameterStore& store, ConstTensorRef flat, const std::string& prefix,
                         std::vector<TensorSource>& sources);
/// The reverse; Error{data} naming what is missing or of another shape.
void import_flat(const TensorFile& file, const ParameterStore& store, const std::string& prefix, TensorRef flat);

/// map_state of an open file, whose path is then part of the message of an error.
StateMapping map_model(const TensorFile& file, const std::string& prefix = "", bool classifier = false);

/// Of a run directory its newest model, RUN/checkpoints/latest; any other path as it is.
std::filesystem::path model_at(const std::filesystem::path& path);

/// open_tensor_file of model_at(given), with its notices logged. Error{data} for another folder says what to give
/// instead.
std::unique_ptr<TensorFile> open_model_file(const std::filesystem::path& given);

/// The encoder (no head) of any file that map_state understands, or with random weights. Logs what was assumed of the
/// file.
ParameterStore load_encoder(Backend& backend, const std::filesystem::path& path, const std::string& prefix = "",
                            bool with_gradients = false);
ParameterStore load_encoder(Backend& backend, const TensorFile& file, const std::string& prefix = "",
                            bool with_gradients = false);
ParameterStore untrained_encoder(Backend& backend, const ModelConfig& config, uint64_t seed,
                                 bool with_gradients = false);
/// The encoder of a file that was mapped.
ParameterStore import_encoder(Backend& backend, const TensorFile& file, const StateMapping& mapping,
                              bool with_gradients = false);

}  // namespace dcl
