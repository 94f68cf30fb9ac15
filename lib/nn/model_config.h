// What network is meant: the settings that decide tensor names, shapes and the meaning of a checkpoint.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dcl {

/// cifar: 3x3 stride-1 convolution, no max-pool (as published). imagenet: 7x7 stride 2 and 3x3 stride-2 max-pool.
enum class Stem : uint8_t { cifar, imagenet };

struct ModelConfig {
  std::string arch = "resnet50";  ///< resnet18, resnet34, resnet50, resnet101
  Stem stem = Stem::cifar;
  int64_t feature_dim = 128;  ///< D, width of the projected embedding
  int64_t hidden_dim = 512;   ///< width of the projection head's hidden layer
  bool head = true;           ///< with the projection head g
  bool operator==(const ModelConfig&) const = default;
};

std::string_view name_of(Stem stem);
/// "cifar" or "imagenet"; throws Error{usage} otherwise.
Stem stem_from_name(std::string_view name);

/// F, the width of the encoder's features: 512 (ResNet-18, 34) or 2048. Throws Error{usage} for an unknown arch.
int64_t feature_width(const ModelConfig& config);

}  // namespace dcl
