// What dcl-inspect finds in a file, as JSON, and as text for people.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace dcl {

/// Error{data} for a file that is damaged, dangerous, or of no known kind. `stats`: reads all values.
nlohmann::ordered_json inspect_file(const std::filesystem::path& path, const std::string& model_prefix, bool stats);

/// The same as lines and a table; names from the file are escaped.
std::string report_text(const nlohmann::ordered_json& report);

}  // namespace dcl
