#include "io/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <system_error>

#include "core/error.h"
#include "io/fault.h"

namespace dcl {
namespace {

/// One transfer never asks for more than this, so that failpoints stand a fixed distance apart.
constexpr size_t kTransferBytes = size_t{1} << 20;

}  // namespace

void fail_io(const std::string& action, const std::filesystem::path& path, int error) {
  fail(ErrorKind::io, action + " " + quoted(path) + ": " + std::generic_category().message(error));
}

int open_for_appending(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO that nobody reads would wait forever; it has no effect on regular files.
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
  if (fd < 0) fail_io("cannot write", path, errno);
  return fd;
}

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " bytes";
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  for (; value >= 999.95 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  const auto tenths = static_cast<uint64_t>(value * 10 + 0.5);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " " + kUnits[unit];
}

Written write_fully(int fd, const void* data, size_t bytes, int64_t offset) {
  size_t done = 0;
  while (done < bytes) {
    size_t ask = std::min(bytes - done, kTransferBytes);
    const PlantedFault fault = failpoint(IoOp::write);
    if (fault.cut_short) ask = std::max<size_t>(ask / 2, 1);
    errno = fault.error;
    ssize_t sent = -1;
    const char* from = static_cast<const char*>(data) + done;
    if (!fault.error)
      sent = offset < 0 ? ::write(fd, from, ask) : ::pwrite(fd, from, ask, offset + static_cast<int64_t>(done));
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return {done, sent < 0 ? errno : EIO};
    done += static_cast<size_t>(sent);
  }
  return {done, 0};
}

}  // namespace dcl
