#include "comma_list.h"

#include <algorithm>

#include "core/error.h"
#include "core/number.h"

namespace dcl {

std::vector<std::string> comma_list(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::vector<std::string> comma_list_of(const std::string& option, const std::string& text, const std::string& known) {
  const std::vector<std::string> parts = comma_list(text), all = comma_list(known);
  for (const std::string& part : parts)
    if (std::find(all.begin(), all.end(), part) == all.end())
      fail(ErrorKind::usage, "--" + option + ": '" + part + "' is unknown, expected some of " + known);
  return parts;
}

std::vector<int64_t> comma_list_of(const std::string& option, const std::string& text, int64_t low, int64_t high,
                                   const std::string& or_else) {
  std::vector<int64_t> all;
  for (const std::string& part : comma_list(text)) {
    const auto value = parse_number<int64_t>(part);
    if (!value || *value < low || *value > high)
      fail(ErrorKind::usage, "--" + option + ": expected " + or_else + (or_else.empty() ? "" : " ") +
                                 "whole numbers from " + std::to_string(low) + " to " + std::to_string(high) +
                                 " with commas between them, got '" + part + "'");
    all.push_back(*value);
  }
  return all;
}

}  // namespace dcl
