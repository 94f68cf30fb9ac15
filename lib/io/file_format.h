// Which format a file is, by its first bytes.
#pragma once

#include <string>

#include "io/byte_source.h"

namespace dcl {

enum class FileFormat { safetensors, zip, torch_legacy, npy, onnx, events, other };

/// What a file is, as far as its first bytes tell.
struct FormatGuess {
  FileFormat format = FileFormat::other;
  /// Completes "it is ..." for a file of this format met where another was expected: "a ZIP archive", "a web page or
  /// XML; was the download redirected?". "" when nothing is known.
  std::string words;
};

FormatGuess guess_format(const ByteSource& source);

}  // namespace dcl
