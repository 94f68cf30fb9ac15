// XXH3-128 as 32 hexadecimal digits (canonical form, as `xxhsum -H2` prints it). Not installed.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "core/number.h"

namespace dcl {

/// Takes bytes in pieces. Not copyable: the state is 64-byte aligned and large.
class Checksum {
 public:
  Checksum() { XXH3_128bits_reset(&state_); }
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;
  void add(const void* data, size_t bytes) { XXH3_128bits_update(&state_, data, bytes); }
  std::string text() const {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state_));
    std::string out;
    for (const unsigned char byte : canonical.digest) {
      out += kHexDigits[byte >> 4];
      out += kHexDigits[byte & 15];
    }
    return out;
  }

 private:
  XXH3_state_t state_;
};

inline std::string checksum_text(const void* data, size_t bytes) {
  Checksum sum;
  sum.add(data, bytes);
  return sum.text();
}

// Names of checksums in the metadata of a safetensors file (safetensors.h).
inline constexpr std::string_view kOwnPrefix = "dcl.";
inline constexpr std::string_view kTensorChecksum = "dcl.xxh3/";
inline constexpr std::string_view kHeaderChecksum = "dcl.xxh3.header";
inline const std::string kBlankChecksum(32, '0');

/// Where the header checksum's value stands in the header's JSON text as this project writes it (no spaces), or npos.
inline size_t header_checksum_position(std::string_view header) {
  const std::string key = "\"" + std::string(kHeaderChecksum) + "\":\"";
  const size_t at = header.find(key);
  if (at == header.npos || at + key.size() + kBlankChecksum.size() > header.size()) return header.npos;
  return header.find(key, at + 1) == header.npos ? at + key.size() : header.npos;
}

}  // namespace dcl
