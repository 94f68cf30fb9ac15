// The preamble of a .npy file, checked. Private to lib/io.
#pragma once

#include <cstdint>
#include <vector>

#include "io/file.h"
#include "io/file_dtype.h"

namespace dcl {

/// Magic, version and the two-byte length of version 1.0.
inline constexpr size_t kNpyPrefixBytes = 10;
/// NumPy's own limit.
inline constexpr size_t kMaxNpyHeaderBytes = 10'000;

struct NpyHeader {
  FileDType type = FileDType::f32;
  bool big_endian = false;
  std::vector<int64_t> shape;
  int64_t data_start = 0;  ///< the data fill the file from here to its end
};

/// Error{data} naming the file when it is no array this project reads, or its size does not match its shape.
NpyHeader read_npy_header(const InputFile& file);

}  // namespace dcl
