// Variables of the environment.
#pragma once

#include <string>

namespace dcl {

/// Its value. One that is not set is as good as an empty one.
std::string environment_variable(const char* name);

}  // namespace dcl
