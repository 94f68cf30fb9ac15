#include "run/waiting.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace dcl {

void limit_spinning(const char* const* argv) {
  if (::getauxval(AT_BASE) == 0) return;  // started as an argument of the loader, which is what would be started over
  for (const char* said : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"})
    if (std::getenv(said)) return;  // also when it is empty: that is said, too
  // By its own name, which tools that list processes show, rather than as /proc/self/exe.
  std::error_code unknown;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (unknown) return;
  ::setenv("GOMP_SPINCOUNT", "10000", 1);
  ::setenv("KMP_BLOCKTIME", "1", 1);  // milliseconds
  ::execv(program.c_str(), const_cast<char* const*>(argv));
}

}  // namespace dcl
