// Which backends the tests of this machine run on.
#pragma once

#include <string>
#include <vector>

#include "core/registry.h"

namespace dcl::test {

/// Names of the backends that work here: `cuda` where there is a GPU.
inline std::vector<std::string> working_backends() {
  std::vector<std::string> names;
  for (const BackendStatus& status : list_backends())
    if (status.available) names.push_back(status.name);
  return names;
}

}  // namespace dcl::test
