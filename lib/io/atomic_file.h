// Files that appear under their final name complete or not at all: a temporary beside the destination is written,
// synced and renamed, then the directory is synced. Whatever happens before the rename leaves the old file untouched.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace dcl {

/// One file being written. All functions throw Error{io} naming the path and the reason (and, when the disk is full,
/// the bytes needed and free). A destination that exists and is no regular file is refused. A link is followed: it
/// stays, and what it leads to is replaced; path() is that.
class AtomicFile {
 public:
  /// expected_bytes, when known: free space is checked and reserved before anything is written.
  explicit AtomicFile(std::filesystem::path path, uint64_t expected_bytes = 0);
  /// Removes the temporary unless commit() succeeded.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends.
  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Replaces bytes that were appended before (a header whose hashes are known last).
  void overwrite(uint64_t offset, const void* data, size_t bytes);
  /// Bytes appended so far.
  uint64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

  /// Flush, fsync, close: all of commit() for which a disk must have room. Nothing can be written after it.
  void finish();
  /// finish(), unless it was called, then rename and fsync of the directory. After an exception the destination is what
  /// it was before, except when only the directory's fsync failed: then it is the complete new file.
  void commit();

 private:
  void discard() noexcept;
  void keep_permissions() noexcept;
  void reserve(uint64_t bytes);
  void flush();
  void write_all(const char* data, size_t bytes, int64_t offset);
  [[noreturn]] void fail_with(const char* action, int error) const;

  std::filesystem::path path_, temporary_;
  std::string buffer_;
  uint64_t expected_, size_ = 0;
  bool reserved_ = false;
  int fd_ = -1;
};

/// Before any work: Error{usage} when `output` is the file `input`, which is what ("the input"), by whatever names.
void refuse_replacing(const std::filesystem::path& output, const std::filesystem::path& input, const std::string& what);
/// Writes `text` to `path` through an AtomicFile.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);
/// The same with what the file `from` holds; Error{data} when it cannot be read.
void copy_file_atomically(const std::filesystem::path& from, const std::filesystem::path& to);

/// Makes `link` a symbolic link to `target` (relative targets are relative to the link's folder), atomically replacing
/// a link or regular file of that name. Returns false where the file system has no symbolic links.
bool replace_symlink(const std::filesystem::path& target, const std::filesystem::path& link);

/// Deletes a file or link, if it is there; returns whether it is gone.
bool remove_file(const std::filesystem::path& path) noexcept;

/// Creates the folder with everything above it, so that they survive a power loss. Error{io}.
void make_folders(const std::filesystem::path& folder);

/// Deletes temporaries in `folder` that no running process of this machine owns (left by a killed writer). Returns how
/// many; never throws. Call it only while holding whatever keeps other writers out.
int remove_stale_temporaries(const std::filesystem::path& folder) noexcept;

/// Deletes the temporaries of all files this process is writing. For the handler of a signal that ends it:
/// async-signal-safe.
void unlink_live_temporaries() noexcept;

/// fsync of a directory, so that names created in it survive a power loss.
void sync_directory(const std::filesystem::path& folder);

}  // namespace dcl
