#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <random>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/number.h"
#include "io/byte_source.h"
#include "io/fault.h"
#include "io/file.h"
#include "io/temporaries.h"

namespace dcl {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr std::string_view kMark = ".tmp.";

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// ".NAME.tmp.PID.RANDOM" beside `path`. A name near the limit of 255 bytes is shortened.
std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  char tail[48];
  std::snprintf(tail, sizeof tail, "%.*s%ld.%08x", static_cast<int>(kMark.size()), kMark.data(),
                static_cast<long>(::getpid()), std::random_device{}());
  return folder_of(path) / ("." + path.filename().native().substr(0, 200) + tail);
}

/// The owner's process id in a temporary's name, or 0 when the name is none of ours.
pid_t owner_of(std::string_view name) {
  const size_t mark = name.rfind(kMark);
  if (mark == name.npos || name.front() != '.') return 0;
  const std::string_view tail = name.substr(mark + kMark.size());
  const size_t dot = tail.find('.');
  if (dot == tail.npos || tail.size() - dot - 1 != 8) return 0;
  for (const char c : tail.substr(dot + 1))
    if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return 0;
  return std::max(parse_number<pid_t>(tail.substr(0, dot)).value_or(0), pid_t{0});
}

/// Runs a system call behind its failpoint; returns 0 or errno.
template <class Call>
int guarded(IoOp op, Call&& call) {
  for (;;) {
    const PlantedFault fault = failpoint(op);
    const int error = fault.error ? fault.error : (call() == 0 ? 0 : errno);
    if (error != EINTR) return error;
  }
}

int sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = guarded(IoOp::fsync, [&] { return ::fsync(fd); });
  ::close(fd);
  return error == EINVAL || error == ENOTSUP ? 0 : error;  // file systems that cannot sync a directory
}

void refuse_special_destination(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::none) fail_io("cannot write", path, error.value());
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    fail(ErrorKind::io, "cannot write " + quoted(path) + ": it exists and is not a regular file");
  if (!path.has_filename()) fail(ErrorKind::io, "cannot write " + quoted(path) + ": it names no file");
}

/// Where a link leads, also when nothing is there yet; any other path as it is.
std::filesystem::path destination_of(std::filesystem::path path) {
  constexpr int kMostLinks = 40;  // as the kernel
  std::error_code error;
  for (int followed = 0; std::filesystem::is_symlink(path, error); ++followed) {
    if (followed == kMostLinks) fail_io("cannot write", path, ELOOP);
    const std::filesystem::path target = std::filesystem::read_symlink(path, error);
    if (error) fail_io("cannot follow the link", path, error.value());
    path = folder_of(path) / target;  // an absolute target replaces the folder
  }
  return path;
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path, uint64_t expected_bytes)
    : path_(std::move(path)), expected_(expected_bytes) {
  refuse_special_destination(path_);
  path_ = destination_of(std::move(path_));
  temporary_ = temporary_beside(path_);
  temporaries::add(temporary_);
  const int error = guarded(IoOp::open, [&] {
    fd_ = ::open(temporary_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    return fd_ < 0 ? -1 : 0;
  });
  try {
    if (error) fail_with("cannot write", error);
    keep_permissions();
    if (expected_) reserve(expected_);
    buffer_.reserve(kBufferBytes);
  } catch (...) {
    discard();
    throw;
  }
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (temporary_.empty()) return;
  ::unlink(temporary_.c_str());
  temporaries::remove(temporary_);
}

/// Of the file that is replaced: who may not read it may not read its successor.
void AtomicFile::keep_permissions() noexcept {
  struct stat old {};
  if (::stat(path_.c_str(), &old) == 0) ::fchmod(fd_, old.st_mode & 0777);  // not everywhere: the file counts for more
}

void AtomicFile::reserve(uint64_t bytes) {
  struct statvfs space {};
  if (::fstatvfs(fd_, &space) == 0) {
    const uint64_t free = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
    if (free / 11 * 10 < bytes) fail_with("cannot write", ENOSPC);
  }
  const int error = guarded(IoOp::allocate, [&] {
    errno = ::posix_fallocate(fd_, 0, static_cast<off_t>(bytes));
    return errno ? -1 : 0;
  });
  reserved_ = error == 0;
  if (error && error != EOPNOTSUPP && error != EINVAL) fail_with("cannot write", error);
}

void AtomicFile::write(const void* data, size_t bytes) {
  const auto* cursor = static_cast<const char*>(data);
  size_ += bytes;
  while (bytes > 0) {
    const size_t part = std::min(bytes, kBufferBytes - buffer_.size());
    if (part == kBufferBytes) {  // an empty buffer and a whole block: no copy
      write_all(cursor, part, -1);
    } else {
      buffer_.append(cursor, part);
      if (buffer_.size() == kBufferBytes) flush();
    }
    cursor += part;
    bytes -= part;
  }
}

void AtomicFile::overwrite(uint64_t offset, const void* data, size_t bytes) {
  if (offset + bytes > size_) fail(ErrorKind::internal, "AtomicFile: overwrite beyond the end of " + quoted(path_));
  flush();
  write_all(static_cast<const char*>(data), bytes, static_cast<int64_t>(offset));
}

void AtomicFile::flush() {
  write_all(buffer_.data(), buffer_.size(), -1);
  buffer_.clear();
}

void AtomicFile::write_all(const char* data, size_t bytes, int64_t offset) {
  if (const int error = write_fully(fd_, data, bytes, offset).error) fail_with("cannot write", error);
}

void AtomicFile::finish() {
  flush();
  if (reserved_ && size_ < expected_ && ::ftruncate(fd_, static_cast<off_t>(size_)) != 0)
    fail_with("cannot write", errno);
  if (const int error = guarded(IoOp::fsync, [&] { return ::fsync(fd_); })) fail_with("cannot sync", error);
  // A descriptor is gone after close(), whatever close() returns.
  const int fd = std::exchange(fd_, -1);
  const PlantedFault fault = failpoint(IoOp::close);
  const int closed = ::close(fd) == 0 ? fault.error : errno;
  if (closed && closed != EINTR) fail_with("cannot close", closed);
}

void AtomicFile::commit() {
  if (fd_ >= 0) finish();
  if (const int error = guarded(IoOp::rename, [&] { return ::rename(temporary_.c_str(), path_.c_str()); }))
    fail_with("cannot rename into place", error);
  temporaries::remove(temporary_);
  temporary_.clear();
  if (const int error = sync_folder(folder_of(path_))) fail_with("cannot sync the folder of", error);
}

void AtomicFile::fail_with(const char* action, int error) const {
  std::string message = std::string(action) + " " + quoted(path_) + ": " + std::generic_category().message(error);
  if (error == ENOSPC || error == EDQUOT) {
    message += " (" + bytes_text(std::max(expected_, size_)) + " needed";
    struct statvfs space {};
    if (::statvfs(folder_of(path_).c_str(), &space) == 0)
      message += ", " + bytes_text(static_cast<uint64_t>(space.f_bavail) * space.f_frsize) + " free";
    message += "); free some space or write elsewhere";
  }
  fail(ErrorKind::io, message);
}

void refuse_replacing(const std::filesystem::path& output, const std::filesystem::path& input,
                      const std::string& what) {
  std::error_code absent;
  if (std::filesystem::equivalent(output, input, absent))
    fail(ErrorKind::usage, quoted(output) + " is " + what + ": give the result another name");
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void copy_file_atomically(const std::filesystem::path& from, const std::filesystem::path& to) {
  const auto source = file_bytes(from.string());
  AtomicFile file(to, source->size());
  source->stream(0, source->size(), [&](const void* data, size_t bytes) { file.write(data, bytes); });
  file.commit();
}

bool replace_symlink(const std::filesystem::path& target, const std::filesystem::path& link) {
  const std::filesystem::path temporary = temporary_beside(link);
  const int made = guarded(IoOp::symlink, [&] { return ::symlink(target.c_str(), temporary.c_str()); });
  if (made == EPERM || made == ENOTSUP || made == ENOSYS) return false;
  if (made) fail_io("cannot link", link, made);
  if (const int error = guarded(IoOp::rename, [&] { return ::rename(temporary.c_str(), link.c_str()); })) {
    ::unlink(temporary.c_str());
    fail_io("cannot replace the link", link, error);
  }
  sync_directory(folder_of(link));
  return true;
}

bool remove_file(const std::filesystem::path& path) noexcept {
  const int error = guarded(IoOp::unlink, [&] { return ::unlink(path.c_str()); });
  return error == 0 || error == ENOENT;
}

void make_folders(const std::filesystem::path& folder) {
  std::error_code error;
  if (folder.empty() || std::filesystem::is_directory(folder, error)) return;
  const std::filesystem::path above = folder_of(folder);
  make_folders(above);
  if (std::filesystem::create_directory(folder, error); error == std::errc::file_exists)
    fail(ErrorKind::io, "cannot make the folder " + quoted(folder) + ": the name is taken by what is no folder");
  if (error) fail_io("cannot make the folder", folder, error.value());
  sync_directory(above);
}

int remove_stale_temporaries(const std::filesystem::path& folder) noexcept {
  int removed = 0;
  try {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string name = entry.path().filename().native();
      const pid_t owner = owner_of(name);
      if (owner == 0 || temporaries::contains(name)) continue;
      const bool running = owner != ::getpid() && (::kill(owner, 0) == 0 || errno != ESRCH);
      if (!running && remove_file(entry.path())) ++removed;
    }
  } catch (...) {
    // An unreadable folder keeps its temporaries: they are harmless.
  }
  return removed;
}

void sync_directory(const std::filesystem::path& folder) {
  if (const int error = sync_folder(folder)) fail_io("cannot sync", folder, error);
}

}  // namespace dcl
