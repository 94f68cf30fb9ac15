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

std::string file_hash(const std::filesystem::path& path) {
  const std::shared_ptr<const ByteSource> source = file_bytes(path.native());
  Checksum hash;
  std::vector<std::byte> piece(size_t{1} << 20);
  for (uint64_t offset = 0; offset < source->size();) {
    const size_t bytes = static_cast<size_t>(std::min<uint64_t>(piece.size(), source->size() - offset));
    source->read(offset, piece.data(), bytes);
    hash.add(piece.data(), bytes);
    offset += bytes;
  }
  return hash.text();
}

}  // namespace dcl
