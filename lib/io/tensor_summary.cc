#include "io/tensor_summary.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "io/checksum.h"
#include "io/convert.h"

namespace dcl {

TensorSummary summarize(const TensorFile& file, const FileTensor& tensor) {
  TensorSummary summary;
  Checksum hash;
  const size_t width = size_of(tensor.dtype);
  std::vector<double> values;
  double sum = 0, squares = 0;
  file.stream(tensor, [&](const void* data, size_t bytes) {
    hash.add(data, bytes);
    values.resize(bytes / width);
    convert_elements(tensor.dtype, static_cast<const std::byte*>(data), values.data(), values.size());
    for (const double value : values) {
      if (!std::isfinite(value)) {
        ++(std::isnan(value) ? summary.nan : summary.infinite);
        continue;
      }
      summary.min = summary.finite == 0 ? value : std::min(summary.min, value);
      summary.max = summary.finite == 0 ? value : std::max(summary.max, value);
      ++summary.finite;
      sum += value;
      squares += value * value;
    }
  });
  summary.hash = hash.text();
  summary.norm = std::sqrt(squares);
  summary.mean = summary.finite > 0 ? sum / static_cast<double>(summary.finite) : 0;
  return summary;
}

std::string hash_of(const ByteSource& file) {
  Checksum hash;
  file.stream(0, file.size(), [&](const void* data, size_t bytes) { hash.add(data, bytes); });
  return hash.text();
}

}  // namespace dcl
