// Writing PNG images.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace dcl {

/// The bytes of a PNG file, 8-bit RGB without alpha. rgb: height * width * 3 values, row by row.
std::string png_bytes(std::span<const uint8_t> rgb, int64_t height, int64_t width);

}  // namespace dcl
