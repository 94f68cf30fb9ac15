#include "data/png_check.h"

#include <zlib.h>

#include <cstring>
#include <vector>

#include "core/error.h"

namespace dcl::decoders {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t kSignatureBytes = 8, kHeaderBytes = 13;

uint32_t big_endian(Bytes bytes) { return uint32_t{bytes[0]} << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3]; }

/// Calls use(type, content) for every chunk up to the end chunk.
template <class Use>
void for_each_chunk(Bytes file, Use&& use) {
  size_t at = kSignatureBytes;
  for (;;) {
    if (file.size() < at + 12) fail(ErrorKind::data, "the PNG data are truncated");
    const size_t length = big_endian(file.subspan(at));
    if (length > file.size() - at - 12) fail(ErrorKind::data, "a PNG chunk is longer than the file");
    const Bytes type_and_content = file.subspan(at + 4, 4 + length), type = type_and_content.first(4);
    const bool critical = (type[0] & 0x20) == 0;
    const auto sum = ::crc32(0, type_and_content.data(), static_cast<uInt>(type_and_content.size()));
    if (critical && sum != big_endian(file.subspan(at + 8 + length)))
      fail(ErrorKind::data, "a PNG chunk does not have the checksum it states");
    use(type, type_and_content.subspan(4));
    if (std::memcmp(type.data(), "IEND", 4) == 0) return;
    at += 12 + length;
  }
}

/// What the pixel data of such an image inflate to, at most: Adam7 adds a filter byte to rows of its passes and rounds
/// each up to a byte, less than doubling any image and a little more for the smallest.
uint64_t most_pixel_bytes(Bytes header) {
  if (header.size() != kHeaderBytes) fail(ErrorKind::data, "the PNG header has the wrong length");
  const uint64_t width = big_endian(header), height = big_endian(header.subspan(4));
  const uint64_t bits = uint64_t{header[8]} * 4;  // four channels are the most there are
  return 2 * height * (width * bits / 8 + 2) + 4096;
}

/// Inflates to nowhere and counts.
class Inflation {
 public:
  Inflation() {
    if (::inflateInit(&stream_) != Z_OK) fail(ErrorKind::out_of_memory, "no memory to inflate a PNG file");
  }
  ~Inflation() { ::inflateEnd(&stream_); }
  Inflation(const Inflation&) = delete;
  Inflation& operator=(const Inflation&) = delete;

  void add(Bytes bytes, uint64_t limit) {
    stream_.next_in = const_cast<uint8_t*>(bytes.data());
    stream_.avail_in = static_cast<uInt>(bytes.size());
    while (stream_.avail_in > 0 && !ended_) {
      stream_.next_out = sink_.data();
      stream_.avail_out = static_cast<uInt>(sink_.size());
      const int status = ::inflate(&stream_, Z_NO_FLUSH);
      if (status != Z_OK && status != Z_STREAM_END) fail(ErrorKind::data, "the PNG's pixel data are damaged");
      ended_ = status == Z_STREAM_END;
      if (stream_.total_out > limit) fail(ErrorKind::data, "the PNG holds more pixel data than its size allows");
    }
  }

 private:
  z_stream stream_{};
  std::vector<uint8_t> sink_ = std::vector<uint8_t>(1 << 16);
  bool ended_ = false;
};

}  // namespace

void check_png(Bytes file) {
  for_each_chunk(file, [](Bytes, Bytes) {});
}

void check_png_data(Bytes file) {
  Inflation inflation;
  uint64_t limit = 0;
  for_each_chunk(file, [&](Bytes type, Bytes content) {
    if (std::memcmp(type.data(), "IHDR", 4) == 0) limit = most_pixel_bytes(content);
    if (std::memcmp(type.data(), "IDAT", 4) == 0) inflation.add(content, limit);
  });
}

}  // namespace dcl::decoders
