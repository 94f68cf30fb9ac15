// The fence before stb_image's PNG decoder, which takes memory for whatever length a chunk claims, inflates without a
// limit, and checks no checksums.
#pragma once

#include <cstdint>
#include <span>

namespace dcl::decoders {

/// Walks all chunks. Throws Error{data} unless each lies within the file and those that matter have the checksum they
/// state.
void check_png(std::span<const uint8_t> file);

/// The same, and the pixel data must not inflate to more than an image of its header's extent can need.
void check_png_data(std::span<const uint8_t> file);

}  // namespace dcl::decoders
