#include "core/environment.h"

#include <cstdlib>

namespace dcl {

std::string environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace dcl
