// What is behind decode.h: the image libraries, one fenced source file each, of which lib/data/meson.build decides what
// is built, and the formats that need none. All throw Error{data} with a reason; sizes are not yet checked against the
// limits of decode.h by the size functions.
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

/// Portable anymaps: PBM, PGM and PPM.
bool is_pnm(std::span<const uint8_t> file);
ImageSize pnm_size(std::span<const uint8_t> file);
bool pnm_gray_saturates(std::span<const uint8_t> file);
void pnm_decode(std::span<const uint8_t> file, ImageSize size, uint8_t* rgb);

/// JPEG and PNG.
ImageSize stb_size(std::span<const uint8_t> file);
void stb_decode(std::span<const uint8_t> file, ImageSize size, uint8_t* rgb);
std::string stb_version();

}  // namespace dcl::decoders
