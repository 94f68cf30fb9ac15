#include "io/npy_data.h"

#include <algorithm>

#include "io/strided.h"

namespace dcl {
namespace {

void swap_elements(std::vector<std::byte>& bytes, size_t width) {
  for (auto element = bytes.begin(); element != bytes.end(); element += static_cast<std::ptrdiff_t>(width))
    std::reverse(element, element + static_cast<std::ptrdiff_t>(width));
}

/// The first index runs fastest.
std::vector<int64_t> fortran_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides;
  int64_t stride = 1;
  for (const int64_t extent : shape) {
    strides.push_back(stride);
    stride *= std::max<int64_t>(extent, 1);
  }
  return strides;
}

}  // namespace

void stream_npy(const ByteSource& file, const NpyHeader& header, Crc32* crc, const ByteSink& sink) {
  const size_t width = size_of(header.type);
  const auto count = [&](const void* data, size_t bytes) {
    if (crc) crc->add(data, bytes);
  };
  std::vector<std::byte> swapped;
  const auto give = [&](const void* data, size_t bytes) {
    if (!header.big_endian) return sink(data, bytes);
    const auto* first = static_cast<const std::byte*>(data);
    swapped.assign(first, first + bytes);
    swap_elements(swapped, width);
    sink(swapped.data(), bytes);
  };
  file.stream(0, header.data_start, count);
  const uint64_t data_bytes = file.size() - header.data_start;
  if (!header.fortran_order || header.shape.size() < 2)
    return file.stream(header.data_start, data_bytes, [&](const void* data, size_t bytes) {
      count(data, bytes);
      give(data, bytes);
    });

  std::vector<std::byte> all(static_cast<size_t>(data_bytes));
  file.read(header.data_start, all);
  count(all.data(), all.size());
  StridedReader(header.shape, fortran_strides(header.shape), width, all).stream(all.size(), give);
}

}  // namespace dcl
