// The values of a NumPy array, whatever the order they lie in. Private to lib/io.
#pragma once

#include "io/byte_source.h"
#include "io/crc32.h"
#include "io/npy_header.h"

namespace dcl {

/// Gives the values in C order, little endian, in pieces of whole elements. Every byte of the file, preamble included,
/// goes into `crc` (null: none), which holds the file's checksum at the end. An array in Fortran order is in memory
/// meanwhile; the values of one in C order are given before the checksum is known.
void stream_npy(const ByteSource& file, const NpyHeader& header, Crc32* crc, const ByteSink& sink);

}  // namespace dcl
