// What fuzz targets share. A target defines LLVMFuzzerTestOneInput: it may refuse the bytes with Error{data} (or the
// kinds it names), and everything else that happens (another kind of error, another exception, a sanitizer's report) is
// a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>

#include "core/error.h"
#include "io/tensor_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace dcl::fuzz {

/// Runs body(), which may refuse with `allowed`.
template <class Body>
void refusing(ErrorKind allowed, Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    if (error.kind() == allowed) return;
    std::fprintf(stderr, "refused as another kind of error (%d): %s\n", static_cast<int>(error.kind()), error.what());
    std::abort();
  }
}

inline std::shared_ptr<const ByteSource> source_of(const uint8_t* data, size_t size) {
  return memory_view("input", std::as_bytes(std::span(data, size)));
}

/// Reads every value of an open file that is not much larger than its bytes: what a header may claim without memory
/// being taken is part of the format's limits, what is then read is bounded here.
inline void read_everything(const TensorFile& file) {
  for (const FileTensor& tensor : file.tensors())
    if (tensor.bytes() <= uint64_t{1} << 22) file.stream(tensor, [](const void*, size_t) {});
}

}  // namespace dcl::fuzz
