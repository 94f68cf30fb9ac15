// A PyTorch file whose pickle has been read: hands out its tensors from wherever the format keeps the storages. Private
// to lib/io.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "io/tensor_file.h"
#include "io/torch/contents.h"

namespace dcl {

class StorageFile : public TensorFile {
 protected:
  StorageFile(std::shared_ptr<const ByteSource> source, std::string_view format)
      : TensorFile(std::move(source), format) {}
  /// Called once, by the constructor, before any storage is opened.
  void set_torch_contents(TorchContents contents);

  /// The bytes of a storage, not checked unless they had to be inflated.
  virtual std::shared_ptr<const ByteSource> open_storage(size_t storage) const = 0;
  /// CRC-32 to be checked; 0 when there is none, or when opening checks it.
  virtual uint32_t checksum(size_t storage) const = 0;

  const std::vector<TorchStorage>& storages() const { return storages_; }

 private:
  void do_read_bytes(const FileTensor& tensor, std::span<std::byte> to) const final;
  void do_stream(const FileTensor& tensor, const ByteSink& sink) const final;

  bool fills_storage(const FileTensor& tensor, const TorchView& view) const;
  void verify_storage(size_t storage, const ByteSource& bytes) const;
  void check_crc(size_t storage, uint32_t crc) const;
  std::vector<std::byte> extent_of(const FileTensor& tensor, const TorchView& view, const ByteSource& bytes) const;

  std::vector<TorchView> views_;
  std::vector<TorchStorage> storages_;
  mutable std::unique_ptr<std::atomic<bool>[]> verified_;  // per storage
};

}  // namespace dcl
