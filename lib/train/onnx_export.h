// A trained network as an ONNX model for inference: batch norm folded into the convolutions, normalisation of the
// pixels included, extents of the images free.
#pragma once

#include <filesystem>

#include "io/tensor_file.h"
#include "nn/parameters.h"
#include "train/linear_classifier.h"

namespace dcl {

struct OnnxOptions {
  bool head = false;                         ///< embeddings too; needs a store with head
  const LinearValues* classifier = nullptr;  ///< logits too; must outlive the call
  Normalization normalization;               ///< of the pixels, part of the model
  FileMetadata metadata;  ///< kept in the model's metadata_props, beside what the model says of itself ("dcl.*")
};

/// Writes the network of `store` to `path`, atomically. Names of the model:
///   images               f32 [N, 3, H, W], RGB, pixel / 255; N, H and W are free
///   features             f32 [N, F], as the encoder gives them
///   normalized_features  f32 [N, F], rows of unit length: what dcl-embed writes and kNN compares
///   embeddings           f32 [N, D], rows of unit length; with options.head
///   logits               f32 [N, classes]; with options.classifier
/// Error{io} as AtomicFile has them. Returns the number of constants, the tensors that the model holds.
size_t write_onnx(const std::filesystem::path& path, const ParameterStore& store, const OnnxOptions& options = {});

}  // namespace dcl
