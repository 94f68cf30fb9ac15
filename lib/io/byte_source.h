// Bytes at positions, wherever they are: in a file, in memory, or in a part of either. Parsers of files read from
// these, so that a file inside an archive, or the bytes of a test, are read by the same code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace dcl {

/// Receives bytes in order, in pieces of any size.
using ByteSink = std::function<void(const void* data, size_t bytes)>;

/// Reading is thread-safe.
class ByteSource {
 public:
  /// Bytes that are streamed come in pieces of this many, the last of fewer: a multiple of every element size.
  static constexpr size_t kPieceBytes = size_t{1} << 20;

  virtual ~ByteSource() = default;

  /// For messages: a path, or a path and the place in it.
  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }
  /// Fills `to` from `offset`; Error{data} when the bytes end before.
  void read(uint64_t offset, std::span<std::byte> to) const;
  void read(uint64_t offset, void* to, size_t bytes) const { read(offset, {static_cast<std::byte*>(to), bytes}); }
  /// The `size` bytes from `offset`, piece by piece. Errors as read() has them.
  void stream(uint64_t offset, uint64_t size, const ByteSink& sink) const;

 protected:
  ByteSource(std::string name, uint64_t size) : name_(std::move(name)), size_(size) {}
  /// The range lies within size().
  virtual void do_read(uint64_t offset, std::span<std::byte> to) const = 0;

 private:
  std::string name_;
  uint64_t size_;
};

/// Opens a regular file; errors as InputFile (core/file.h) has them.
std::shared_ptr<const ByteSource> file_bytes(const std::string& path);
/// Bytes in memory that the source owns.
std::shared_ptr<const ByteSource> memory_bytes(std::string name, std::vector<std::byte> bytes);
/// Bytes in memory that must stay.
std::shared_ptr<const ByteSource> memory_view(std::string name, std::span<const std::byte> bytes);
/// A range of another source, which must hold it.
std::shared_ptr<const ByteSource> part_of(std::shared_ptr<const ByteSource> whole, std::string name, uint64_t offset,
                                          uint64_t size);

}  // namespace dcl
