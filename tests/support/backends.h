// Which backends the tests of this machine run on.
#pragma once

#include <string>
#include <vector>

#include "core/registry.h"

namespace dcl::test {

/// Names of the backends that work here and compute on the CPU.
inline std::vector<std::string> cpu_backends() {
  std::vector<std::string> names;
  for (const BackendStatus& status : list_backends())
    if (status.available && status.name != "cuda") names.push_back(status.name);
  return names;
}

}  // namespace dcl::test
