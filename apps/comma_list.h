// Options that are several words or numbers with commas between them. Errors name the option and what was expected.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dcl {

/// The parts of "a,b,c", which may be empty.
std::vector<std::string> comma_list(const std::string& text);
/// Each of those in `known`, a list itself; Error{usage} otherwise.
std::vector<std::string> comma_list_of(const std::string& option, const std::string& text, const std::string& known);
/// Whole numbers from low to high; Error{usage} otherwise. or_else: what the message says may be there instead, "all,
/// or".
std::vector<int64_t> comma_list_of(const std::string& option, const std::string& text, int64_t low, int64_t high,
                                   const std::string& or_else = "");

}  // namespace dcl
