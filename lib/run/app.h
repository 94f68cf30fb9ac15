// The shell around every app: options, logging to stderr, one error line and the documented exit code.
#pragma once

#include <functional>

#include "run/console.h"
#include "run/options.h"

namespace dcl {

/// Exit code of a run that was interrupted after saving its checkpoint (EX_TEMPFAIL): run it again to go on.
inline constexpr int kExitInterrupted = 75;

/// Parses, calls `body`, and returns the exit code of the process: what body returns, or that of its error (ErrorKind;
/// std::bad_alloc is 7, anything unknown 1), printed as one line "error: ..." on stderr. Data written to stdout that
/// did not arrive is an error (5). Library log messages go to `console()`.
int run_app(int argc, const char* const* argv, Options& options, const std::function<int()>& body);

}  // namespace dcl
