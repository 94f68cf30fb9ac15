// The image libraries behind decode.h, one fenced source file each; which of them are built decides
// lib/data/meson.build. All throw Error{data} with a reason; sizes are not yet checked against the limits of decode.h
// by the size functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/decode.h"

namespace dcl::decoders {

ImageSize libjpeg_size(std::span<const uint8_t> file);
void libjpeg_decode(std::span<const uint8_t> file, ImageSize size, uint8_t* rgb);
std::string libjpeg_version();

ImageSize libpng_size(std::span<const uint8_t> file);
void libpng_decode(std::span<const uint8_t> file, ImageSize size, uint8_t* rgb);
std::string libpng_version();

/// JPEG and PNG.
ImageSize stb_size(std::span<const uint8_t> file);
void stb_decode(std::span<const uint8_t> file, ImageSize size, uint8_t* rgb);
std::string stb_version();

}  // namespace dcl::decoders
