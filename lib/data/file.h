// Small text files beside a data set.
#pragma once

#include <string>
#include <vector>

#include "core/file.h"

namespace dcl {

/// The lines of a text file of class names, without surrounding blanks or empty lines; empty when the file does not
/// exist.
std::vector<std::string> read_names(const std::string& path);

}  // namespace dcl
