#include "io/append_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "io/file.h"

namespace dcl {

namespace {

bool has_name(int fd) {
  struct stat facts;
  return ::fstat(fd, &facts) == 0 && facts.st_nlink > 0;
}

}  // namespace

AppendFile::AppendFile(std::filesystem::path path) : AppendFile(path, open_for_appending(path)) {}

AppendFile::AppendFile(std::filesystem::path path, int fd)
    : path_(std::move(path)), fd_(fd), has_name_(has_name(fd)), size_(std::max<int64_t>(::lseek(fd, 0, SEEK_END), 0)) {}

AppendFile::~AppendFile() {
  write_kept();
  ::close(fd_);
}

int AppendFile::write_kept() noexcept {
  if (kept_.empty()) return 0;
  const Written written = write_fully(fd_, kept_.data(), kept_.size());
  // What was written of a record goes again; if that fails, the next attempt writes the rest of it.
  if (written.error && ::ftruncate(fd_, size_) == 0) return written.error;
  size_ += static_cast<int64_t>(written.bytes);
  kept_.erase(0, written.bytes);
  return written.error;
}

void AppendFile::append(std::string_view record) {
  if (std::exchange(has_name_, has_name_ && has_name(fd_)) && !has_name_)
    log(LogLevel::warning, quoted(path_) + " was deleted during the run: what belongs there is lost");
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
