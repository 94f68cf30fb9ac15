#include "io/npy_data.h"

#include <algorithm>

#include "io/strided.h"

namespace dcl {
namespace {

/// A multiple of every element size.
constexpr size_t kPieceBytes = size_t{1} << 20;

/// Bytes begin .. end of the file in pieces, which `use` may change.
template <class Use>
void for_each_piece(const ByteSource& file, uint64_t begin, uint64_t end, Crc32* crc, Use&& use) {
  std::vector<std::byte> piece;
  for (uint64_t at = begin; at < end; at += piece.size()) {
    piece.resize(static_cast<size_t>(std::min<uint64_t>(end - at, kPieceBytes)));
    file.read(at, piece);
    if (crc) crc->add(piece.data(), piece.size());
    use(piece);
  }
}

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
  const auto give = [&](std::vector<std::byte>& piece) {
    if (header.big_endian) swap_elements(piece, width);
    sink(piece.data(), piece.size());
  };
  for_each_piece(file, 0, header.data_start, crc, [](const auto&) {});
  if (!header.fortran_order || header.shape.size() < 2)
    return for_each_piece(file, header.data_start, file.size(), crc, give);

  std::vector<std::byte> all(static_cast<size_t>(file.size() - header.data_start));
  file.read(header.data_start, all);
  if (crc) crc->add(all.data(), all.size());
  StridedReader reader(header.shape, fortran_strides(header.shape), width, all);
  std::vector<std::byte> piece;
  for (size_t done = 0; done < all.size(); done += piece.size()) {
    piece.resize(std::min(all.size() - done, kPieceBytes));
    reader.next(piece);
    give(piece);
  }
}

}  // namespace dcl
