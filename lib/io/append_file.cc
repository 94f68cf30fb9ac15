#include "io/append_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "core/error.h"
#include "core/log.h"
#include "io/file.h"

namespace dcl {

AppendFile::AppendFile(std::filesystem::path path) : AppendFile(path, open_for_appending(path)) {}

AppendFile::AppendFile(std::filesystem::path path, int fd)
    : path_(std::move(path)), fd_(fd), size_(std::max<int64_t>(::lseek(fd, 0, SEEK_END), 0)) {}

AppendFile::~AppendFile() {
  write_kept();
  ::close(fd_);
}

int AppendFile::write_kept() noexcept {
  if (kept_.empty()) return 0;
  if (const int error = write_fully(fd_, kept_.data(), kept_.size())) {
    // What was written of it goes again; if that fails, the next attempt writes after it.
    if (::ftruncate(fd_, size_) != 0) size_ = std::max<int64_t>(::lseek(fd_, 0, SEEK_END), size_);
    return error;
  }
  size_ += static_cast<int64_t>(kept_.size());
  kept_.clear();
  return 0;
}

void AppendFile::append(std::string_view record) {
  kept_ += record;
  const int error = write_kept();
  if (error && kept_.size() > kMostKept) fail_io("cannot write", path_, error);
  if (error && !failing_)
    log(LogLevel::warning, "cannot write " + quoted(path_) + ": " + std::generic_category().message(error) +
                               "; going on, what belongs there is written as soon as that is possible");
  if (!error && failing_) log(LogLevel::info, quoted(path_) + " is written again, nothing is missing");
  failing_ = error != 0;
}

void AppendFile::append_now(std::string_view record) {
  kept_ += record;
  flush();
}

void AppendFile::flush() {
  if (const int error = write_kept()) fail_io("cannot write", path_, error);
}

}  // namespace dcl
