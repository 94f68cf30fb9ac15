// The fence before stb_image's JPEG decoder, which trusts tables: up to version 2.27 it writes Huffman tables of more
// than 256 codes out of bounds and decodes with tables that were never defined, and it fills truncated images with
// gray.
#pragma once

#include <cstdint>
#include <span>

namespace dcl::decoders {

/// Walks all segments. Throws Error{data} unless they follow one another without gaps up to the end marker, every
/// Huffman table has at most 256 codes, and every scan uses tables defined before it.
void check_jpeg(std::span<const uint8_t> file);

}  // namespace dcl::decoders
