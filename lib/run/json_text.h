// JSON as every program and log writes it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace dcl {

/// With a line break at its end; on one line unless indented. Bytes that are not UTF-8, as file names may have, become
/// U+FFFD.
inline std::string json_text(const nlohmann::ordered_json& object, int indent = -1) {
  return object.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace dcl
