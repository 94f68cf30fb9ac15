// Which backends the tests of this machine run on.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "core/registry.h"

namespace dcl::test {

/// Names of the backends that work here: `cuda` where there is a GPU, and the one that DCL_TEST_BACKEND names (the
/// build's cuda_emulated), which must work.
inline std::vector<std::string> working_backends() {
  std::vector<std::string> names;
  for (const BackendStatus& status : list_backends())
    if (status.available) names.push_back(status.name);
  if (const char* more = std::getenv("DCL_TEST_BACKEND")) names.push_back(more);
  return names;
}

/// Whether kernels run in the emulator: problems should be small.
inline bool is_emulated(const Backend& backend) { return backend.info().name == "cuda_emulated"; }

}  // namespace dcl::test
