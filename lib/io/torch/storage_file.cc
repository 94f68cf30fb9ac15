#include "io/torch/storage_file.h"

#include <algorithm>

#include "core/file.h"
#include "io/crc32.h"
#include "io/strided.h"

namespace dcl {

void StorageFile::set_torch_contents(TorchContents contents) {
  set_contents({std::move(contents.metadata), std::move(contents.tensors), std::move(contents.notices)});
  views_ = std::move(contents.views);
  storages_ = std::move(contents.storages);
  verified_ = std::make_unique<std::atomic<bool>[]>(storages_.size());
}

void StorageFile::check_crc(size_t storage, uint32_t crc) const {
  if (crc != checksum(storage))
    fail_data("it is damaged: storage " + quoted(storages_[storage].key) + " does not match its checksum");
  verified_[storage] = true;
}

/// Once for each storage, when a tensor is only a part of it.
void StorageFile::verify_storage(size_t storage, const ByteSource& bytes) const {
  if (checksum(storage) == 0 || verified_[storage]) return;
  Crc32 crc;
  bytes.stream(0, bytes.size(), [&](const void* data, size_t count) { crc.add(data, count); });
  check_crc(storage, crc.value());
}

/// Then the checksum is that of the tensor's own bytes.
bool StorageFile::fills_storage(const FileTensor& tensor, const TorchView& view) const {
  return checksum(view.storage) != 0 && view.offset == 0 && tensor.bytes() == storages_[view.storage].bytes &&
         is_contiguous(tensor.shape, view.strides);
}

/// The part of the storage that the view reaches over.
std::vector<std::byte> StorageFile::extent_of(const FileTensor& tensor, const TorchView& view,
                                              const ByteSource& bytes) const {
  std::vector<std::byte> extent(static_cast<size_t>(extent_bytes(tensor.shape, view.strides, size_of(tensor.dtype))));
  bytes.read(view.offset, extent);
  return extent;
}

void StorageFile::do_read_bytes(const FileTensor& tensor, std::span<std::byte> to) const {
  const TorchView& view = views_[tensor.position];
  const std::shared_ptr<const ByteSource> bytes = open_storage(view.storage);
  if (fills_storage(tensor, view)) {
    bytes->read(0, to);
    Crc32 crc;
    crc.add(to.data(), to.size());
    return check_crc(view.storage, crc.value());
  }
  verify_storage(view.storage, *bytes);
  if (is_contiguous(tensor.shape, view.strides)) return bytes->read(view.offset, to);
  const std::vector<std::byte> extent = extent_of(tensor, view, *bytes);
  StridedReader(tensor.shape, view.strides, size_of(tensor.dtype), extent).next(to);
}

void StorageFile::do_stream(const FileTensor& tensor, const ByteSink& sink) const {
  const TorchView& view = views_[tensor.position];
  const std::shared_ptr<const ByteSource> bytes = open_storage(view.storage);
  if (fills_storage(tensor, view)) {
    Crc32 crc;
    bytes->stream(0, tensor.bytes(), [&](const void* data, size_t count) {
      crc.add(data, count);
      sink(data, count);
    });
    return check_crc(view.storage, crc.value());
  }
  verify_storage(view.storage, *bytes);
  if (is_contiguous(tensor.shape, view.strides)) return bytes->stream(view.offset, tensor.bytes(), sink);
  const std::vector<std::byte> extent = extent_of(tensor, view, *bytes);
  StridedReader(tensor.shape, view.strides, size_of(tensor.dtype), extent).stream(tensor.bytes(), sink);
}

}  // namespace dcl
