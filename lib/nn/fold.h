// Batch norm with running statistics as what it does to the convolution before it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace dcl {

/// y = scale * conv(x) + bias per output channel, in double.
struct NormAffine {
  std::vector<double> scale, bias;
};

/// `norm`: name prefix of a batch norm of the store. Error{numerical} when a scale or bias is not finite: a rectifier
/// may take what it makes of an image for 0.
NormAffine norm_affine(const ParameterStore& store, const std::string& norm);

/// weight: [scale.size(), ...], output channels first. Multiplies in double, rounds once.
void scale_channels(std::span<float> weight, std::span<const double> scale);

}  // namespace dcl
