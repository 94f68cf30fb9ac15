// Configuration files: the part of TOML that a flat list of settings needs. key = value, one per line; values are basic
// or literal strings, integers, floats, booleans and arrays of these on one line; # starts a comment. A [table]
// prefixes its keys ("table.key").
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace dcl {

struct ConfigEntry {
  std::string key;
  std::vector<std::string> values;  ///< one, except for an array; text without quotes
  int line = 0;
};

/// Throws Error{usage} "run.toml:3: ..." when the text is not of that form or a key stands twice.
std::vector<ConfigEntry> parse_config(std::string_view text, const std::string& name);
/// Reads the file first; Error{usage} also when it cannot be read.
std::vector<ConfigEntry> read_config(const std::filesystem::path& path);

/// `text` as a TOML basic string, quotes included.
std::string toml_string(std::string_view text);

}  // namespace dcl
