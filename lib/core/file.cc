#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/number.h"

namespace dcl {
namespace {

std::string reason(int error) { return std::strerror(error); }

template <class Bytes>
Bytes read_whole(const std::string& path, int64_t limit) {
  const InputFile file(path);
  if (file.size() > limit) {
    fail(ErrorKind::data, quoted(path) + " has " + std::to_string(file.size()) + " bytes, more than the limit of " +
                              std::to_string(limit));
  }
  Bytes bytes(static_cast<size_t>(file.size()), 0);
  file.read(0, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char raw : text) {
    const auto c = static_cast<unsigned char>(raw);
    if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7F) {
      out += escaped_byte(c);
    } else {
      out += raw;
    }
  }
  return out;
}

std::string quoted(const std::string& path) { return "'" + escaped(path) + "'"; }

InputFile::InputFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a FIFO without a writer would wait forever; it has no effect on regular files.
  do {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  } while (fd_ < 0 && errno == EINTR);
  if (fd_ < 0) {
    const bool absent = errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO;
    fail(absent ? ErrorKind::data : ErrorKind::io, "cannot open " + quoted(path) + ": " + reason(errno));
  }
  struct stat status {};
  const bool known = ::fstat(fd_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(fd_);
    fail(ErrorKind::data, quoted(path) + (known && S_ISDIR(status.st_mode) ? " is a folder, expected a file"
                                                                           : " is not a regular file"));
  }
  size_ = status.st_size;
}

InputFile::~InputFile() { ::close(fd_); }

void InputFile::read(int64_t offset, std::span<uint8_t> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(fd_, out.data() + done, out.size() - done, offset + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ErrorKind::io, "cannot read " + quoted(path_) + ": " + reason(errno));
    if (got == 0) {
      fail(ErrorKind::data, quoted(path_) + " ends at byte " + std::to_string(offset + static_cast<int64_t>(done)) +
                                ", expected " + std::to_string(size_) + " bytes: it was cut while being read");
    }
    done += static_cast<size_t>(got);
  }
}

std::vector<uint8_t> read_file(const std::string& path, int64_t limit) {
  return read_whole<std::vector<uint8_t>>(path, limit);
}
std::string read_text(const std::string& path, int64_t limit) { return read_whole<std::string>(path, limit); }

}  // namespace dcl
