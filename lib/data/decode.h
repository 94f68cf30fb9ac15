// Image files (JPEG, PNG, and PBM, PGM and PPM, together PNM) in memory to RGB: the pixels of Pillow's convert('RGB')
// when built with libjpeg-turbo and libpng (EXIF orientation ignored, alpha dropped, colour of 16 bits cut to the high
// 8 in PNG and scaled in PPM, gray of 16 bits saturated at 255, CMYK taken as Adobe's inverted form). Built with
// stb_image instead: PNG the same; JPEG differs at edges of subsampled colour. The content decides the format, not the
// file's name.
//
// Limits: 16384 pixels a side, 64 Mpixel, 100 scans of a progressive JPEG. Beyond them, and for damaged files, these
// functions throw Error{data} with the reason, without the file's name.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace dcl {

inline constexpr int32_t kMaxImageSide = 16384;
inline constexpr int64_t kMaxImagePixels = int64_t{64} << 20;
inline constexpr int64_t kMaxImageFileBytes = int64_t{256} << 20;

struct ImageSize {
  int32_t height = 0, width = 0;
  bool operator==(const ImageSize&) const = default;
};

/// From the header alone.
ImageSize image_size(std::span<const uint8_t> file);

/// rgb [height, width, 3] with the extent that image_size returned.
void decode_rgb(std::span<const uint8_t> file, ImageSize size, uint8_t* rgb);

/// Of a file whose size was read: whether it is gray of 16 bits, where what is above 255 becomes white.
bool gray_saturates(std::span<const uint8_t> file);

/// Library and version, e.g. "libjpeg-turbo 2.1.5", "stb_image", "none".
std::string jpeg_decoder();
std::string png_decoder();

}  // namespace dcl
