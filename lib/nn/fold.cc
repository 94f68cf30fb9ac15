#include "nn/fold.h"

#include <cmath>

#include "core/error.h"
#include "core/ops.h"
#include "core/parallel.h"

namespace dcl {

NormAffine norm_affine(const ParameterStore& store, const std::string& norm) {
  const auto read = [&](const char* name) { return store.export_tensor(store.entry(norm + name)); };
  const std::vector<float> gamma = read(".weight"), beta = read(".bias");
  const std::vector<float> mean = read(".running_mean"), var = read(".running_var");
  const double eps = BatchNormDesc{}.eps;
  NormAffine affine;
  for (size_t k = 0; k < gamma.size(); ++k) {
    const double scale = gamma[k] / std::sqrt(static_cast<double>(var[k]) + eps);
    affine.scale.push_back(scale);
    affine.bias.push_back(beta[k] - mean[k] * scale);
    if (!std::isfinite(affine.scale[k]) || !std::isfinite(affine.bias[k]))
      fail(ErrorKind::numerical, "batch norm '" + norm + "' has no finite scale and offset for channel " +
                                     std::to_string(k) + ", whose running_var is " + std::to_string(var[k]) +
                                     ": the encoder is damaged; dcl-inspect --stats shows its tensors");
  }
  return affine;
}

void scale_channels(std::span<float> weight, std::span<const double> scale) {
  const int64_t channels = static_cast<int64_t>(scale.size()), size = static_cast<int64_t>(weight.size()) / channels;
  parallel_for(channels, [&](int64_t channel) {
    for (int64_t i = channel * size; i < (channel + 1) * size; ++i)
      weight[static_cast<size_t>(i)] =
          static_cast<float>(weight[static_cast<size_t>(i)] * scale[static_cast<size_t>(channel)]);
  });
}

}  // namespace dcl
