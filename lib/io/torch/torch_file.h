// PyTorch files: what torch.save writes, as ZIP archive (1.6 and newer) or in the legacy format (older, or on request).
// Nothing in them is executed. Tensors are views of storages, which are read from the file when a tensor is asked for,
// one at a time.
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

/// The archive must be that of the source (`archive` is opened by whoever tells formats apart).
std::unique_ptr<TensorFile> open_torch_zip(std::shared_ptr<const ByteSource> source, ZipArchive archive);
std::unique_ptr<TensorFile> open_torch_legacy(std::shared_ptr<const ByteSource> source);

enum class TorchFormat : uint8_t {
  zip,     ///< for PyTorch 1.6 and newer
  legacy,  ///< for PyTorch from 0.4 on; no checksums
};

/// Writes an OrderedDict of tensors atomically (AtomicFile), in their order, which torch.load(path, weights_only=True)
/// reads. Errors as write_safetensors has them. Returns the file's size.
uint64_t write_torch(const std::filesystem::path& path, const std::vector<TensorSource>& tensors, TorchFormat format);

}  // namespace dcl
