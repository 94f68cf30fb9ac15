#include "io/png.h"

#include <zlib.h>

#include "core/error.h"
#include "io/crc32.h"

namespace dcl {
namespace {

constexpr int64_t kMaxSide = 0x7FFFFFFF;

std::string big_endian(uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 255);
  return out;
}

std::string chunk(const char* type, const std::string& content) {
  const std::string checked = type + content;
  Crc32 crc;
  crc.add(checked.data(), checked.size());
  return big_endian(static_cast<uint32_t>(content.size())) + checked + big_endian(crc.value());
}

/// Rows with filter type 1: each byte minus that of the pixel to its left.
std::string filtered_rows(std::span<const uint8_t> rgb, size_t row_bytes) {
  std::string out;
  out.reserve(rgb.size() + rgb.size() / row_bytes);
  for (size_t start = 0; start < rgb.size(); start += row_bytes) {
    out += '\1';
    for (size_t i = 0; i < row_bytes; ++i) out += static_cast<char>(rgb[start + i] - (i < 3 ? 0 : rgb[start + i - 3]));
  }
  return out;
}

}  // namespace

std::string png_bytes(std::span<const uint8_t> rgb, int64_t height, int64_t width) {
  if (height < 1 || width < 1 || height > kMaxSide || width > kMaxSide ||
      rgb.size() / 3 / static_cast<size_t>(width) != static_cast<size_t>(height) ||
      rgb.size() % (3 * static_cast<size_t>(width)) != 0)
    fail(ErrorKind::internal, "png_bytes: the pixels are not those of an image of that size");
  const std::string rows = filtered_rows(rgb, static_cast<size_t>(width) * 3);
  std::string packed(::compressBound(rows.size()), '\0');
  uLongf packed_bytes = packed.size();
  if (::compress(reinterpret_cast<Bytef*>(packed.data()), &packed_bytes, reinterpret_cast<const Bytef*>(rows.data()),
                 rows.size()) != Z_OK)
    fail(ErrorKind::out_of_memory, "no memory to compress an image");
  packed.resize(packed_bytes);
  const std::string header = big_endian(static_cast<uint32_t>(width)) + big_endian(static_cast<uint32_t>(height)) +
                             std::string("\x08\x02\0\0\0", 5);  // 8 bits, RGB
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("IDAT", packed) + chunk("IEND", "");
}

}  // namespace dcl
