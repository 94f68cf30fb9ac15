// A model file as a file of another format, with other names or another element type; one tensor in memory at a time.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/file_dtype.h"

namespace dcl {

enum class ModelFormat : uint8_t { safetensors, torch, torch_legacy, npz, onnx };
/// By the extension: .safetensors, .pth, .pt, .npz, .onnx. Error{usage} for another one.
ModelFormat model_format_of(const std::filesystem::path& path);

enum class TensorNames : uint8_t {
  keep,         ///< every tensor of the file under its own name
  published,    ///< the model alone, under the names of the published class (f.0.weight, g.0.weight)
  torchvision,  ///< encoder and classifier, if there is one, under the names of torchvision's ResNets (conv1.weight)
};

struct ConvertSettings {
  ModelFormat format = ModelFormat::safetensors;
  TensorNames names = TensorNames::keep;
  std::string prefix;        ///< put before every name: "module." for a model inside DataParallel
  std::string model_prefix;  ///< which of several networks (map_state)
  /// ONNX: of pixels (normalization_names); auto: as the file says, else published.
  std::string normalization = "auto";
  /// f32, f16 or bf16: of all floating tensors; nothing: as they are (bf16 as f32 in NPZ).
  std::optional<FileDType> dtype;
};

/// Reads what model_at(given) is, of any format that open_tensor_file knows, and writes `output` atomically. ONNX holds
/// the computation of the network, with its head where the file has one, so that names, prefix and dtype do not apply.
/// Logs what was assumed and left out. Error{usage} for settings that mean nothing together or when both are one file,
/// Error{data} when the input is damaged or holds no model where one is needed. Returns the number of tensors written.
size_t convert_model(const std::filesystem::path& given, const std::filesystem::path& output,
                     const ConvertSettings& settings);

}  // namespace dcl
