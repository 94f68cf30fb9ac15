// NumPy's NPZ files: a ZIP archive of .npy arrays, stored (savez) or deflated (savez_compressed).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "io/byte_source.h"
#include "io/tensor_file.h"
#include "io/tensor_source.h"
#include "io/zip.h"

namespace dcl {

/// Whether every entry is an array.
bool is_npz(const ZipArchive& archive);

/// The archive must be that of the source. Every array is a tensor, named as its entry without ".npy"; types and orders
/// as read_npy_f32 (npy.h) has them. A deflated array is in memory while it is read.
std::unique_ptr<TensorFile> open_npz(std::shared_ptr<const ByteSource> source, ZipArchive archive);

/// Writes an archive of stored arrays atomically (AtomicFile), in their order, which numpy.load reads. NumPy
/// has no bf16: Error{internal}. Other errors as write_safetensors has them. Returns the file's size.
uint64_t write_npz(const std::filesystem::path& path, const std::vector<TensorSource>& tensors);

}  // namespace dcl
