// Errors of the whole project: one exception type whose kind is also the documented exit code.
#pragma once

#include <stdexcept>
#include <string>

namespace dcl {

/// What went wrong; the numeric value is the exit code of an app that ends with it (docs/usage.md).
enum class ErrorKind : int {
  internal = 1,       ///< a defect in this program
  usage = 2,          ///< command line or configuration
  data = 3,           ///< invalid input data or file format
  environment = 4,    ///< missing or unusable backend, driver, library
  io = 5,             ///< disk full, permission, read-only
  numerical = 6,      ///< non-finite value
  out_of_memory = 7,  ///< host or device
  locked = 8,         ///< the run directory is in use
};

/// Message rule: what, where, what was expected, what to do; one line, no trailing full stop needed.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }
  int exit_code() const noexcept { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

struct Failure {
  ErrorKind kind = ErrorKind::internal;
  std::string message;
};
/// The exception that is being handled: an Error's own kind; std::bad_alloc is out_of_memory, a filesystem_error io,
/// anything unknown internal. Call inside a catch block.
Failure current_failure();

[[noreturn]] inline void fail(ErrorKind kind, const std::string& message) { throw Error(kind, message); }

}  // namespace dcl
