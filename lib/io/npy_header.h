// The preamble of a NumPy array in a file: written, and read with every field checked. Private to lib/io.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/file_dtype.h"

namespace dcl {

/// Magic, version and length: of version 1.0, and of 2.0 and 3.0.
inline constexpr size_t kNpyPrefixBytes = 10, kLongNpyPrefixBytes = 12;
/// NumPy's own limit.
inline constexpr size_t kMaxNpyHeaderBytes = 10'000;
inline constexpr size_t kMaxNpyPreambleBytes = kLongNpyPrefixBytes + kMaxNpyHeaderBytes;

struct NpyHeader {
  FileDType type = FileDType::f32;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<int64_t> shape;
  uint64_t data_start = 0;  ///< the data fill the file from here to its end
};

/// `start`: the first kMaxNpyPreambleBytes of a file of `size` bytes, or all of it. Error{data} naming `path` when it
/// is no array this project reads, or its size does not match its shape.
NpyHeader read_npy_header(const std::string& path, uint64_t size, std::span<const std::byte> start);

/// Magic, version 1.0, and the header of an array in C order, padded with spaces to a multiple of 64 bytes that is not
/// below `least`. Error{internal} for bf16, which NumPy does not have.
std::string npy_preamble(FileDType type, std::span<const int64_t> shape, size_t least = 0);

}  // namespace dcl
