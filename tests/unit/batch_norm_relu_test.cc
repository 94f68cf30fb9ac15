// The ReLU of eigen's batch norm keeps NaN, in whole vectors of channels and in what is left of a row.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/registry.h"

namespace dcl {
namespace {

class BatchNormRelu : public testing::Test {
 protected:
  TensorRef filled(const Shape& shape, DType dtype, float value) {
    buffers_.emplace_back(*backend_, static_cast<size_t>(shape.elements()) * size_of(dtype));
    const TensorRef tensor = buffers_.back().view(shape, dtype);
    backend_->fill(tensor, value);
    return tensor;
  }

  std::unique_ptr<Backend> backend_ = make_backend("eigen");
  std::vector<Buffer> buffers_;
};

TEST_F(BatchNormRelu, KeepsNanAndStopsTheNegative) {
  for (const int64_t channels : {3, 64, 67})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const BatchNormDesc d{.rows = 3, .channels = channels, .dtype = dtype, .relu = true};
      const TensorRef x = filled(d.x_shape(), dtype, std::numeric_limits<float>::quiet_NaN());
      backend_->fill({x.data, {channels}, dtype}, -2);  // the first row
      const TensorRef saved = filled(d.saved_shape(), DType::f32, 1);
      const TensorRef gamma = filled({channels}, DType::f32, 1), beta = filled({channels}, DType::f32, 1);
      const TensorRef y = filled(d.x_shape(), dtype, 5), f32 = filled(d.x_shape(), DType::f32, 5);
      backend_->batch_norm_apply(d, {x, saved, gamma, beta}, {}, y);
      dtype == DType::f32 ? backend_->copy(y, f32) : backend_->cast(y, f32);
      const float* values = f32.as<float>();
      for (int64_t i = 0; i < 3 * channels; ++i) {
        const std::string where = std::to_string(i) + " of " + std::to_string(channels) + " channels";
        if (i < channels)
          EXPECT_EQ(values[i], 0.0f) << where;  // (-2 - 1) 1 + 1
        else
          EXPECT_TRUE(std::isnan(values[i])) << where << ": " << values[i];
      }
    }
}

}  // namespace
}  // namespace dcl
