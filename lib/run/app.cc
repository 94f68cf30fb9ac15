#include "run/app.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <system_error>

#include "core/error.h"
#include "core/log.h"
#include "core/profile.h"
#include "run/signals.h"
#include "run/waiting.h"

namespace dcl {
namespace {

/// A closed standard stream would give its number to the next file opened, which messages would then overwrite.
void fill_closed_streams() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
      [[maybe_unused]] const int opened = ::open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
    }
}

void flush_data() {
  errno = 0;
  const bool lost = std::fflush(stdout) != 0 || std::ferror(stdout);
  const int error = print_error() ? print_error() : errno;
  if (lost)
    fail(ErrorKind::io, "cannot write to the standard output" +
                            (error ? ": " + std::generic_category().message(error) : std::string()));
}

/// Of the exception that is being handled.
int report_failure() {
  const Failure failure = current_failure();
  console().status("");
  console().error(failure.message);
  console().close_log();
  std::fflush(stdout);
  return static_cast<int>(failure.kind);
}

/// What DCL_PROFILE asks for; the report is empty without it.
void report_profile() { std::fputs(profile_report().c_str(), stderr); }

int guarded(const std::function<int()>& body) {
  try {
    const int code = body();
    flush_data();
    return code;
  } catch (...) {
    return report_failure();
  }
}

}  // namespace

int run_app(int argc, const char* const* argv, Options& options, const std::function<int()>& body) {
  limit_spinning(argv);
  fill_closed_streams();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that left is an error of write()
  std::signal(SIGXFSZ, SIG_IGN);  // and so is a file beyond the limit of its size
  clean_up_on_signals();
  console().configure(TerminalTraits::of(STDERR_FILENO, "auto"));
  set_log_sink([](LogLevel level, std::string_view message) { console().log(level, message); });
  return guarded([&] {
    std::string reply;
    if (!options.parse(argc, argv, reply)) {
      print(reply);
      return 0;
    }
    console().configure(TerminalTraits::of(STDERR_FILENO, options.color()));
    const int code = body();
    report_profile();
    return code;
  });
}

}  // namespace dcl
