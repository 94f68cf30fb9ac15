// Writing to POSIX descriptors, and the words for what went wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "core/file.h"

namespace dcl {

/// "ACTION 'path': No space left on device" as Error{io}.
[[noreturn]] void fail_io(const std::string& action, const std::filesystem::path& path, int error);

/// A descriptor that writes at the end of the file, which is made when it is not there; the caller closes it.
/// Error{io}, also for a FIFO that nobody reads.
int open_for_appending(const std::filesystem::path& path);

/// "12.3 MB", "512 bytes"; decimal units.
std::string bytes_text(uint64_t bytes);

struct Written {
  size_t bytes = 0;  ///< all of them, when there was no error
  int error = 0;     ///< errno
};

/// Writes all bytes, through EINTR and short transfers, at most 1 MiB per system call (each with a failpoint).
/// offset < 0: at the descriptor's position.
Written write_fully(int fd, const void* data, size_t bytes, int64_t offset = -1);

}  // namespace dcl
