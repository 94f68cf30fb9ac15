// The processor this runs on, in words.
#pragma once

#include <string>

namespace dcl {

/// As the system names it ("AMD EPYC 7763 64-Core Processor"); the architecture where it names none.
std::string processor_name();

}  // namespace dcl
