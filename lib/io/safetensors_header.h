// Parsing of a safetensors header from untrusted bytes. Private to lib/io.
#pragma once

#include <string_view>
#include <vector>

#include "io/tensor_file.h"
#include "io/tensor_limits.h"

namespace dcl {

struct SafetensorsHeader {
  FileMetadata metadata;
  std::vector<FileTensor> tensors;  ///< sorted by data; contiguous from 0; names may still repeat
};

/// Longest header accepted, as in the reference implementation.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr size_t kMaxMetadata = kMaxTensors + 1000;
inline constexpr size_t kMaxStringBytes = size_t{4} << 20;  ///< of JSON text, escapes counted as one
inline constexpr size_t kMaxNumberBytes = 64;               ///< anything that is no string

/// text: the header's bytes after the length. data_bytes: what the file holds after the header. Throws Error{data}
/// whose message says what is wrong, without naming the file.
SafetensorsHeader parse_safetensors_header(std::string_view text, uint64_t data_bytes);

}  // namespace dcl
