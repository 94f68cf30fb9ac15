// safetensors files: the format of checkpoints and encoders. Reader: every rule of the format is checked before a
// tensor is handed out, and nothing larger than the header is allocated. Writer: the bytes the reference writer would
// produce, streamed, plus checksums in the metadata that any other reader ignores:
//   dcl.xxh3/NAME     XXH3-128 of the tensor's bytes, 32 hexadecimal digits
//   dcl.xxh3.header   XXH3-128 of the header's JSON text with this value written as 32 zeros
// A file with any "dcl." metadata must carry both for the header and every tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/tensor_file.h"
#include "io/tensor_source.h"

namespace dcl {

class SafetensorsFile final : public TensorFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  explicit SafetensorsFile(std::shared_ptr<const ByteSource> source);

  /// Whether the file has this project's checksums, of its header and every tensor.
  bool has_checksums() const { return has_checksums_; }

 private:
  void do_read_bytes(const FileTensor& tensor, std::span<std::byte> to) const override;
  void do_stream(const FileTensor& tensor, const ByteSink& sink) const override;
  void require_checksums(const std::string& header) const;
  void check_sum(const FileTensor& tensor, const std::string& sum) const;

  uint64_t data_start_ = 0;
  bool has_checksums_ = false;
};

/// Writes `path` atomically (AtomicFile); tensors in the reference writer's order (by FileDType, then by name),
/// header padded with spaces to a multiple of 8. Error{io} when it cannot be written, Error{internal} for a source that
/// breaks its contract (wrong byte count, duplicate or overlong name). Returns the file's size.
uint64_t write_safetensors(const std::filesystem::path& path, std::vector<TensorSource> tensors, FileMetadata metadata,
                           bool checksums = true);

}  // namespace dcl
