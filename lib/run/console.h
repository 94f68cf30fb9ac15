// Everything a person sees on stderr: log lines and the one live progress line below them. stdout is left to data.
#pragma once

#include <cstdio>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>

#include "core/log.h"

namespace dcl {

/// What the stream behind a console can do.
struct TerminalTraits {
  bool live = false;  ///< lines may be rewritten (a terminal, TERM not dumb)
  bool color = false;
  bool utf8 = false;  ///< block characters may be used

  /// color: auto | always | never; NO_COLOR, TERM and the locale variables count.
  static TerminalTraits of(int fd, const std::string& color);
};

/// Thread-safe. A line never breaks into the live status line: that one is wiped and drawn again.
class Console {
 public:
  explicit Console(int fd = 2) : fd_(fd) {}
  ~Console() { close_log(); }

  void configure(TerminalTraits traits);
  const TerminalTraits& traits() const { return traits_; }
  /// Columns now (asked anew every time: terminals are resized); 80 when unknown.
  int columns() const;

  /// One line with its end; also appended to the log file when one is open.
  void line(std::string_view text);
  void log(LogLevel level, std::string_view message);
  void error(std::string_view message);
  /// Replaces the live line, cut to the terminal; "" removes it. Ignored when the stream is not live.
  void status(std::string_view text);

  /// Appends every later line, with its UTC time, to `path`; Error{io}.
  void open_log(const std::filesystem::path& path);
  void close_log();

 private:
  void emit(std::string_view prefix, const char* color, std::string_view text);
  void append_to_log(std::string_view prefix, std::string_view text);
  void put(std::string_view text) const;

  mutable std::mutex mutex_;
  int fd_, log_fd_ = -1;
  TerminalTraits traits_;
  std::string status_;
};

/// The console of this process (stderr).
Console& console();

/// Prints data to stdout; failure is noticed by run_app.
void print(std::string_view text);
/// errno of the first print that failed, or 0.
int print_error();

/// "2024-05-01T12:00:00Z"; with_millis adds ".123".
std::string utc_text(double unix_seconds, bool with_millis = false);
double unix_now();
/// Seconds of a clock that never jumps.
double monotonic_now();

}  // namespace dcl
