// Backend::augment of one view, with its result on the host.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "core/backend.h"

namespace dcl::test {

/// The normalised view [h, w, 3].
inline std::vector<float> augment_f32(Backend& backend, const AugmentDesc& desc, const std::vector<uint8_t>& pool,
                                      const ViewParams& view) {
  const Shape shape{1, desc.h, desc.w, 3};
  Buffer images(backend, pool.size()), out(backend, static_cast<size_t>(shape.elements()) * sizeof(float));
  Buffer params(backend, sizeof view);
  const TensorRef source = images.view({static_cast<int64_t>(pool.size())}, DType::u8);
  const TensorRef result = out.view(shape, DType::f32);
  backend.copy_in(source, pool.data());
  const TensorRef views = params.view(views_shape(1), DType::u8);
  check_views(desc, {&view, 1}, static_cast<int64_t>(pool.size()));
  backend.copy_in(views, &view);
  backend.augment(desc, source, views, result);
  std::vector<float> host(static_cast<size_t>(shape.elements()));
  backend.copy_out(host.data(), result);
  return host;
}

/// The bytes before normalisation: mean 0 and std 1 give value / 255, which is undone without loss.
inline std::vector<uint8_t> augment_bytes(Backend& backend, AugmentDesc desc, const std::vector<uint8_t>& pool,
                                          const ViewParams& view) {
  for (int c = 0; c < 3; ++c) {
    desc.normalization.mean[c] = 0.0f;
    desc.normalization.std[c] = 1.0f;
  }
  std::vector<uint8_t> bytes;
  for (const float value : augment_f32(backend, desc, pool, view)) {
    const auto byte = static_cast<uint8_t>(value * 255.0f + 0.5f);
    if (static_cast<float>(byte) / 255.0f != value) throw std::runtime_error("augment wrote a value that is no byte");
    bytes.push_back(byte);
  }
  return bytes;
}

}  // namespace dcl::test
