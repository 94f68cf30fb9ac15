// How long compute threads that wait for each other keep their processors busy.
#pragma once

namespace dcl {

/// OpenMP's threads spin for up to 20 ms (libgomp) or 200 ms (LLVM's) at the end of a loop before they sleep, and so
/// keep the processor from the very thread that they wait for when anything else runs on the machine: programs took
/// five times as long beside three busy processes on two cores. The limit is read from the environment when the process
/// is loaded, so this starts the program over, with a limit of about half a millisecond; which thread counts, results
/// and speed on an idle machine do not change by. Returns where the environment says a limit already (OMP_WAIT_POLICY,
/// GOMP_SPINCOUNT, KMP_BLOCKTIME), and where starting over fails.
void limit_spinning(const char* const* argv);

}  // namespace dcl
