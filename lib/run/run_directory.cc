#include "run/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <system_error>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/file.h"
#include "run/console.h"
#include "run/version.h"

namespace dcl {
namespace {

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string holder_text(int fd) {
  char text[512] = {};
  const ssize_t got = ::pread(fd, text, sizeof text - 1, 0);
  std::string out(text, got > 0 ? static_cast<size_t>(got) : 0);
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out.empty() ? "another process" : out;
}

/// As a shell would need it.
std::string shell_word(const std::string& word) {
  const bool plain = !word.empty() && std::ranges::all_of(word, [](unsigned char c) {
    return std::isalnum(c) || std::string_view("_-./=+,:@%").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// TIME without characters that some file systems refuse.
std::string time_for_name() {
  std::string text = utc_text(unix_now());
  std::ranges::replace(text, ':', '-');
  return text;
}

}  // namespace

RunDirectory::RunDirectory(std::filesystem::path path, const std::string& name) : path_(std::move(path)) {
  try {
    create(name);
    lock();
    test_writing();
    make_folders(checkpoints());
    for (const auto& folder : {path_, checkpoints()}) remove_stale_temporaries(folder);
  } catch (const std::filesystem::filesystem_error& error) {
    release();
    fail_io("cannot make the run directory", path_, error.code().value());
  } catch (...) {
    release();
    throw;
  }
}

RunDirectory::~RunDirectory() {
  // On the way out of an error the log stays open for whoever reports it: it is what the run ended with.
  if (recording_ && std::uncaught_exceptions() == exceptions_before_) console().close_log();
  release();
}

void RunDirectory::release() noexcept {
  if (lock_fd_ >= 0) ::close(lock_fd_);  // and with it the lock
  lock_fd_ = -1;
}

void RunDirectory::create(const std::string& name) {
  if (!path_.empty()) {
    if (std::filesystem::exists(path_) && !std::filesystem::is_directory(path_))
      fail(ErrorKind::io, "run directory " + quoted(path_) + " is a file; give another --run_dir");
    make_folders(path_);
    reused_ = std::filesystem::exists(path_ / "config.toml");
    return;
  }
  make_folders("runs");
  const std::string base = "runs/" + time_for_name() + "_" + name;
  path_ = base;
  for (int attempt = 2; !std::filesystem::create_directory(path_); ++attempt)
    path_ = base + "-" + std::to_string(attempt);
}

void RunDirectory::lock() {
  const std::filesystem::path file = path_ / ".lock";
  lock_fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_fd_ < 0) fail_io("cannot write", file, errno);
  int status;
  do status = ::flock(lock_fd_, LOCK_EX | LOCK_NB);
  while (status != 0 && errno == EINTR);
  if (status != 0 && errno == EWOULDBLOCK)
    fail(ErrorKind::locked, "run directory " + quoted(path_) + " is in use by " + holder_text(lock_fd_) +
                                "; stop that run or give another --run_dir");
  if (status != 0) {
    log(LogLevel::warning, "no lock on " + quoted(file) + " (" + std::generic_category().message(errno) +
                               "): make sure that no other run uses this directory");
  }
  const std::string holder =
      "host " + host_name() + ", process " + std::to_string(::getpid()) + ", started " + utc_text(unix_now()) + "\n";
  if (::ftruncate(lock_fd_, 0) != 0) fail_io("cannot write", file, errno);
  if (const int error = write_fully(lock_fd_, holder.data(), holder.size(), 0).error)
    fail_io("cannot write", file, error);
}

void RunDirectory::test_writing() const {
  const std::filesystem::path file = path_ / ".write_test";
  write_file_atomically(file, "written\n");
  if (::unlink(file.c_str()) != 0) fail_io("cannot remove", file, errno);
}

void RunDirectory::record(const Options& options, int argc, const char* const* argv,
                          const std::vector<std::pair<std::string, std::string>>& facts) {
  write_file_atomically(path_ / "config.toml", options.config_text());
  write_file_atomically(path_ / "env.json", environment_json(facts));
  std::string command = utc_text(unix_now());
  for (int i = 0; i < argc; ++i) command += " " + shell_word(argv[i]);
  command += "\n";
  const std::filesystem::path file = path_ / "cmdline.txt";
  const int fd = open_for_appending(file);
  const int error = write_fully(fd, command.data(), command.size()).error;
  ::close(fd);
  if (error) fail_io("cannot write", file, error);
  console().open_log(path_ / "train.log");
  recording_ = true;
}

}  // namespace dcl
