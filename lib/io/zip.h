// ZIP archives as PyTorch and NumPy write them. Reader: entries are found through the central directory alone, and
// everything in which two readers could see different archives is refused (duplicate names, local headers that
// contradict the directory, overlapping entries, several end records, bytes before the first entry). Writer: stored
// entries, streamed, their content aligned to 64 bytes as PyTorch does it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/atomic_file.h"
#include "io/byte_source.h"
#include "io/tensor_source.h"

namespace dcl {

struct ZipEntry {
  std::string name;          ///< relative, no "..", no control characters
  uint64_t size = 0;         ///< of the content
  uint64_t stored_size = 0;  ///< in the archive; the same unless deflated
  uint64_t offset = 0;       ///< of its first stored byte in the archive
  uint32_t crc = 0;          ///< CRC-32 of the content; 0: unknown (PyTorch can be told to leave it out)
  bool deflated = false;
};

/// An open archive; reading is thread-safe. Everything throws Error{data} naming the archive and the entry.
class ZipArchive {
 public:
  explicit ZipArchive(std::shared_ptr<const ByteSource> archive);

  /// In the order of the directory, without folders.
  const std::vector<ZipEntry>& entries() const { return entries_; }
  /// Null when there is none of that name.
  const ZipEntry* find(std::string_view name) const;

  /// The content. A stored entry is read where it lies and its CRC is not checked; a deflated one is inflated into
  /// memory, whole, and checked.
  std::shared_ptr<const ByteSource> open(const ZipEntry& entry) const;
  /// The content in pieces of at most 1 MiB; size and CRC are checked at the end, after the last piece.
  void stream(const ZipEntry& entry, const ByteSink& sink) const;
  /// A small entry, whole and checked; Error{data} when it is larger than `limit`.
  std::vector<std::byte> read(const ZipEntry& entry, uint64_t limit) const;
  /// The first bytes, or all of an entry that is shorter; not checked.
  std::vector<std::byte> start(const ZipEntry& entry, size_t bytes) const;

 private:
  void check_crc(const ZipEntry& entry, uint32_t crc) const;
  void inflate_into(const ZipEntry& entry, const ByteSink& sink, uint64_t most) const;
  [[noreturn]] void fail_entry(const ZipEntry& entry, const std::string& what) const;

  std::shared_ptr<const ByteSource> archive_;
  std::vector<ZipEntry> entries_;
  std::map<std::string_view, size_t, std::less<>> index_;  // into entries_, whose names it views
};

/// Writes an archive atomically (AtomicFile); errors as AtomicFile has them. Entries beyond 4 GiB and archives of any
/// size are written in ZIP64, smaller ones without.
class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path, uint64_t expected_bytes = 0);

  /// Starts an entry of exactly `size` bytes, which must follow through write(). Names are the caller's to keep apart;
  /// Error{data} for one that a reader would refuse.
  void begin(std::string_view name, uint64_t size);
  void write(const void* data, size_t bytes);
  /// A whole entry.
  void add(std::string_view name, std::string_view content);
  /// Writes the directory and makes the file appear. Returns its size.
  uint64_t commit();

  /// Bytes an entry needs besides its content, at most.
  static uint64_t overhead(std::string_view name) { return 2 * name.size() + 256; }

 private:
  struct Written {
    std::string name;
    uint64_t size = 0, header = 0;  // header: offset of the local header
    uint32_t crc = 0;
  };
  void finish();
  std::string local_header(const Written& entry) const;

  AtomicFile file_;
  std::vector<Written> entries_;
  uint64_t left_ = 0;  // of the entry that is being written
  bool open_ = false;
};

}  // namespace dcl
