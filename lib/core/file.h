// Reading files that may be anything: only regular files are read, and opening one never blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dcl {

/// Text from outside for a message: control characters escaped, so that the message stays one line.
std::string escaped(std::string_view text);
/// The same in quotes; for paths and names.
std::string quoted(const std::string& path);

/// An open file for positional reads from any number of threads.
class InputFile {
 public:
  /// Throws Error{data} when the path is missing or is not a regular file, Error{io} when it may not be read.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  /// Bytes, when it was opened.
  int64_t size() const { return size_; }
  /// Fills `out` from `offset`; thread-safe. Throws Error{data} when the file ends before (it shrank), Error{io} on a
  /// failed read.
  void read(int64_t offset, std::span<uint8_t> out) const;
  void read(int64_t offset, void* out, size_t bytes) const { read(offset, {static_cast<uint8_t*>(out), bytes}); }

 private:
  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

/// A whole file; Error{data} when it is larger than `limit` bytes.
std::vector<uint8_t> read_file(const std::string& path, int64_t limit);
std::string read_text(const std::string& path, int64_t limit);

}  // namespace dcl
