#include "run/console.h"

#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <string>

#include "core/environment.h"
#include "io/file.h"
#include "io/utf8.h"

namespace dcl {
namespace {

constexpr const char* kWipe = "\r\x1b[2K";
constexpr const char* kYellow = "\x1b[33m";
constexpr const char* kRed = "\x1b[1;31m";
constexpr const char* kPlain = "\x1b[0m";

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string value = environment_variable(name);
    if (value.empty()) continue;
    std::ranges::transform(value, value.begin(), [](unsigned char c) { return std::tolower(c); });
    return value.find("utf-8") != value.npos || value.find("utf8") != value.npos;
  }
  return false;
}

/// Control characters are none of a line's: they would end it, or tell the terminal to do something.
char printable(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c; }

std::string one_line(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), printable);
  return out;
}

}  // namespace

TerminalTraits TerminalTraits::of(int fd, const std::string& color) {
  const std::string term = environment_variable("TERM");
  TerminalTraits traits;
  traits.live = ::isatty(fd) && term != "dumb" && !term.empty();
  traits.color = color == "always" || (color == "auto" && traits.live && environment_variable("NO_COLOR").empty());
  traits.utf8 = locale_is_utf8();
  return traits;
}

void Console::configure(TerminalTraits traits) {
  const std::lock_guard guard(mutex_);
  traits_ = traits;
}

int Console::columns() const {
  winsize size{};
  if (::ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

void Console::put(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t sent = ::write(fd_, text.data(), text.size());
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;  // a closed stderr must not end the work
    text.remove_prefix(static_cast<size_t>(sent));
  }
}

void Console::append_to_log(std::string_view prefix, std::string_view text) {
  if (log_fd_ < 0) return;
  const std::string record = utc_text(unix_now(), true) + " " + std::string(prefix) + std::string(text) + "\n";
  [[maybe_unused]] const ssize_t sent = ::write(log_fd_, record.data(), record.size());
}

void Console::emit(std::string_view prefix, const char* color, std::string_view text) {
  const std::string clean = one_line(text);
  const std::lock_guard guard(mutex_);
  std::string out;
  if (!status_.empty()) out += kWipe;
  if (!prefix.empty() && traits_.color) out += color;
  out += prefix;
  if (!prefix.empty() && traits_.color) out += kPlain;
  out += clean + "\n" + status_;
  put(out);
  append_to_log(prefix, clean);
}

void Console::line(std::string_view text) { emit("", "", text); }

void Console::log(LogLevel level, std::string_view message) {
  emit(level == LogLevel::warning ? "warning: " : "", kYellow, message);
}

void Console::error(std::string_view message) { emit("error: ", kRed, message); }

void Console::status(std::string_view text) {
  const std::lock_guard guard(mutex_);
  if (!traits_.live || (text.empty() && status_.empty())) return;
  status_ = one_line(first_characters(text, columns() - 1));  // a full last column would wrap on some terminals
  put(kWipe + status_);
}

void Console::open_log(const std::filesystem::path& path) {
  const int fd = open_for_appending(path);
  close_log();
  const std::lock_guard guard(mutex_);
  log_fd_ = fd;
}

void Console::close_log() {
  const std::lock_guard guard(mutex_);
  if (log_fd_ >= 0) ::close(log_fd_);
  log_fd_ = -1;
}

Console& console() {
  static Console instance;
  return instance;
}

namespace {
int first_print_error = 0;
}

void print(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && !first_print_error) first_print_error = errno;
}

int print_error() { return first_print_error; }

std::string utc_text(double unix_seconds, bool with_millis) {
  const auto whole = static_cast<time_t>(std::floor(unix_seconds));
  tm parts{};
  ::gmtime_r(&whole, &parts);
  char text[64];
  const int millis = static_cast<int>((unix_seconds - static_cast<double>(whole)) * 1000);
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  std::string out = text;
  if (with_millis) {
    std::snprintf(text, sizeof text, ".%03d", std::clamp(millis, 0, 999));
    out += text;
  }
  return out + "Z";
}

namespace {
double seconds_of(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}
}  // namespace

double unix_now() { return seconds_of(CLOCK_REALTIME); }
double monotonic_now() { return seconds_of(CLOCK_MONOTONIC); }

}  // namespace dcl
