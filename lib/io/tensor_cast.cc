#include "io/tensor_cast.h"

#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/number.h"
#include "io/convert.h"

namespace dcl {
namespace {

void require_finite(const TensorFile& file, const FileTensor& tensor, double before, float after, FileDType type) {
  if (std::isfinite(before) && !std::isfinite(after))
    fail(ErrorKind::data, quoted(file.path()) + ": " + tensor_text(tensor.name) + " has the value " +
                              number_text(before) + ", which " + std::string(name_of(type)) + " cannot hold");
}

void cast(const TensorFile& file, const FileTensor& tensor, FileDType type, const ByteSink& sink) {
  const size_t width = size_of(tensor.dtype);
  std::vector<double> values;
  std::vector<float> floats;
  std::vector<uint16_t> halves;
  file.stream(tensor, [&](const void* data, size_t bytes) {
    const size_t count = bytes / width;
    values.resize(count), floats.resize(count), halves.resize(count);
    convert_elements(tensor.dtype, static_cast<const std::byte*>(data), values.data(), count);
    for (size_t i = 0; i < count; ++i) {
      floats[i] = static_cast<float>(values[i]);
      if (type == FileDType::f16) halves[i] = float_to_half(floats[i]);
      if (type == FileDType::bf16) halves[i] = bf16(floats[i]).bits;
      const float stored = type == FileDType::f32   ? floats[i]
                           : type == FileDType::f16 ? half_to_float(halves[i])
                                                    : bf16::to_float(halves[i]);
      require_finite(file, tensor, values[i], stored, type);
    }
    if (type == FileDType::f32)
      sink(floats.data(), count * sizeof(float));
    else
      sink(halves.data(), count * sizeof(uint16_t));
  });
}

}  // namespace

TensorSource cast_source(const TensorFile& file, const FileTensor& tensor, std::string name, FileDType type) {
  if (!is_floating(tensor.dtype) || (type != FileDType::f32 && type != FileDType::f16 && type != FileDType::bf16))
    fail(ErrorKind::internal,
         "cast_source: from " + std::string(name_of(tensor.dtype)) + " to " + std::string(name_of(type)));
  if (tensor.dtype == type) return tensor_source(file, tensor, std::move(name));
  return {std::move(name), type, tensor.shape,
          [&file, &tensor, type](const ByteSink& sink) { cast(file, tensor, type, sink); }};
}

}  // namespace dcl
