// Plain POSIX files: an owned descriptor, positional reads and whole writes that survive EINTR and short transfers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace dcl {

/// "cannot write 'x': No space left on device" as Error{io}.
[[noreturn]] void fail_io(const std::string& action, const std::filesystem::path& path, int error);

/// "12.3 MB", "512 bytes"; decimal units.
std::string bytes_text(uint64_t bytes);

/// 'path', with control characters escaped, so that a message stays one line.
std::string quoted(const std::filesystem::path& path);

/// An open regular file for positional reads. A file that is missing, a folder, a pipe or a device is refused with
/// Error{io}; never blocks on a pipe.
class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept
      : path_(std::move(other.path_)), size_(other.size_), fd_(std::exchange(other.fd_, -1)) {}
  InputFile& operator=(InputFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(size_, other.size_);
    std::swap(fd_, other.fd_);
    return *this;
  }

  const std::filesystem::path& path() const { return path_; }
  /// Size when it was opened.
  uint64_t size() const { return size_; }
  /// Reads exactly `bytes` from `offset`; Error{data} when the file has become shorter, Error{io} otherwise.
  void read_at(uint64_t offset, void* to, size_t bytes) const;

 private:
  std::filesystem::path path_;
  uint64_t size_ = 0;
  int fd_ = -1;
};

/// The whole file; Error{data} above max_bytes.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes);

/// One write() call's worth made whole: loops over EINTR and short writes. Returns 0 or errno. offset < 0: at the
/// descriptor's position.
int write_fully(int fd, const void* data, size_t bytes, int64_t offset = -1);

}  // namespace dcl
