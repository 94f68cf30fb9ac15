// The entries of a ZIP archive, found and checked. Private to lib/io.
#pragma once

#include <string_view>
#include <vector>

#include "io/byte_source.h"
#include "io/zip.h"

namespace dcl {

/// In the order of the directory, without folders. Error{data} naming the archive and what is wrong with it.
std::vector<ZipEntry> read_zip_directory(const ByteSource& archive);

/// Whether an entry may be called that: a relative path without "..", control characters or backslashes.
bool is_entry_name(std::string_view name);

}  // namespace dcl
