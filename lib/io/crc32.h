// CRC-32 of ZIP files. Private to lib/io.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>

namespace dcl {

/// Takes bytes in pieces.
class Crc32 {
 public:
  explicit Crc32(uint32_t so_far = 0) : value_(so_far) {}
  void add(const void* data, size_t bytes) {
    if (bytes > 0) value_ = ::crc32_z(value_, static_cast<const Bytef*>(data), bytes);  // null data would start again
  }
  uint32_t value() const { return static_cast<uint32_t>(value_); }

 private:
  uLong value_ = 0;
};

}  // namespace dcl
