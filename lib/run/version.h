// What this build is and what it runs with.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/registry.h"

namespace dcl {

/// "0.1.0"
std::string version();
/// "g++ 12.2.0"
std::string compiler();
/// What a backend says of itself, or why it is not available.
struct BackendReport {
  BackendStatus status;
  BackendInfo info;
};
std::vector<BackendReport> report_backends();
/// For --version: version, compiler, and each backend with its library versions or why it is not available.
std::string version_text(const std::string& program);
/// The same, the machine (host, system) and the process (number, start, threads), as one JSON object, with `facts`.
std::string environment_json(const std::vector<std::pair<std::string, std::string>>& facts);

}  // namespace dcl
