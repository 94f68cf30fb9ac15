// Image files made on the fly: PNG of any sample format, written without libpng, and one small JPEG.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dcl::test {

using Bytes = std::vector<uint8_t>;

struct PngFormat {
  uint32_t width = 1, height = 1;
  int depth = 8;
  int colour_type = 2;      ///< 0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGB + alpha
  bool interlaced = false;  ///< only the flag: `rows` then holds the seven passes
  Bytes palette;            ///< RGB triples
  Bytes transparency;       ///< contents of a tRNS chunk
};

/// `rows`: the scan lines as in the file, each with its filter byte.
Bytes make_png(const PngFormat& format, const Bytes& rows);

/// RGB, 8 bits: pixels [height, width, 3].
Bytes make_png(uint32_t width, uint32_t height, const Bytes& pixels);

/// Baseline JPEG of 16 x 8 pixels, 4:4:4: a left half of (200, 60, 30), a right half of (20, 90, 220).
Bytes small_jpeg();

/// Rewrites the extent in the header (SOF) of small_jpeg().
Bytes small_jpeg_claiming(uint16_t width, uint16_t height);

std::string text_of(const Bytes& bytes);

}  // namespace dcl::test
