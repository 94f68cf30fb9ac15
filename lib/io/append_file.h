// A log that outlives a full disk: whole records at the end of a file, kept in memory while they cannot be written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace dcl {

/// Invariant: the file has nothing of this object's but whole records, in the order they came in. The exception is the
/// last one of a process that was killed, or where a failing disk neither takes the rest nor gives back the beginning:
/// the rest is next. Nobody else writes to the file.
class AppendFile {
 public:
  static constexpr size_t kMostKept = size_t{64} << 20;

  /// At the end of the file, which is made when it is not there. Error{io}.
  explicit AppendFile(std::filesystem::path path);
  /// Of a descriptor that writes at the end of the file, which is closed in the end.
  AppendFile(std::filesystem::path path, int fd);
  /// Tries once more to write what is kept.
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  bool empty() const { return size_ == 0 && kept_.empty(); }

  /// A record that cannot be written is kept, with a warning for the first of them, and written before the next one.
  /// That the file was deleted meanwhile is told once. Error{io} when more than kMostKept bytes would be.
  void append(std::string_view record);
  /// Error{io} when it cannot be written at once.
  void append_now(std::string_view record);
  /// Error{io} when something is kept and still cannot be written.
  void flush();

 private:
  /// 0 or errno.
  int write_kept() noexcept;

  std::filesystem::path path_;
  int fd_;
  bool has_name_;     ///< until it is deleted
  int64_t size_;      ///< of what is in the file for good
  std::string kept_;  ///< records that are not, or the rest of one
  bool failing_ = false;
};

}  // namespace dcl
