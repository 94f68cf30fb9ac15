#include "io/byte_source.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/file.h"

namespace dcl {
namespace {

class FileBytes : public ByteSource {
 public:
  explicit FileBytes(std::unique_ptr<InputFile> file)
      : ByteSource(file->path(), static_cast<uint64_t>(file->size())), file_(std::move(file)) {}

 private:
  void do_read(uint64_t offset, std::span<std::byte> to) const override {
    file_->read(static_cast<int64_t>(offset), to.data(), to.size());
  }
  std::unique_ptr<InputFile> file_;
};

class MemoryBytes : public ByteSource {
 public:
  MemoryBytes(std::string name, std::vector<std::byte> bytes)
      : ByteSource(std::move(name), bytes.size()), owned_(std::move(bytes)), bytes_(owned_) {}
  MemoryBytes(std::string name, std::span<const std::byte> bytes)
      : ByteSource(std::move(name), bytes.size()), bytes_(bytes) {}

 private:
  void do_read(uint64_t offset, std::span<std::byte> to) const override {
    if (!to.empty()) std::memcpy(to.data(), bytes_.data() + offset, to.size());
  }
  std::vector<std::byte> owned_;
  std::span<const std::byte> bytes_;
};

class PartOfBytes : public ByteSource {
 public:
  PartOfBytes(std::shared_ptr<const ByteSource> whole, std::string name, uint64_t offset, uint64_t size)
      : ByteSource(std::move(name), size), whole_(std::move(whole)), offset_(offset) {}

 private:
  void do_read(uint64_t offset, std::span<std::byte> to) const override { whole_->read(offset_ + offset, to); }
  std::shared_ptr<const ByteSource> whole_;
  uint64_t offset_;
};

}  // namespace

void ByteSource::read(uint64_t offset, std::span<std::byte> to) const {
  if (offset > size_ || to.size() > size_ - offset)
    fail(ErrorKind::data, quoted(name_) + ": it is truncated: expected bytes up to " + std::to_string(offset) + " + " +
                              std::to_string(to.size()) + ", got " + std::to_string(size_));
  do_read(offset, to);
}

void ByteSource::stream(uint64_t offset, uint64_t size, const ByteSink& sink) const {
  std::vector<std::byte> piece;
  for (uint64_t done = 0; done < size; done += piece.size()) {
    piece.resize(static_cast<size_t>(std::min<uint64_t>(size - done, kPieceBytes)));
    read(offset + done, piece);
    sink(piece.data(), piece.size());
  }
}

std::shared_ptr<const ByteSource> file_bytes(const std::string& path) {
  return std::make_shared<FileBytes>(std::make_unique<InputFile>(path));
}

std::shared_ptr<const ByteSource> memory_bytes(std::string name, std::vector<std::byte> bytes) {
  return std::make_shared<MemoryBytes>(std::move(name), std::move(bytes));
}

std::shared_ptr<const ByteSource> memory_view(std::string name, std::span<const std::byte> bytes) {
  return std::make_shared<MemoryBytes>(std::move(name), bytes);
}

std::shared_ptr<const ByteSource> part_of(std::shared_ptr<const ByteSource> whole, std::string name, uint64_t offset,
                                          uint64_t size) {
  if (offset > whole->size() || size > whole->size() - offset)
    fail(ErrorKind::internal, "part_of: the range lies outside of " + quoted(whole->name()));
  return std::make_shared<PartOfBytes>(std::move(whole), std::move(name), offset, size);
}

}  // namespace dcl
