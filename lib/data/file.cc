#include "data/file.h"

#include <sys/stat.h>

namespace dcl {

std::vector<std::string> read_names(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return {};
  const std::vector<uint8_t> bytes = read_file(path, 1 << 20);
  std::vector<std::string> names;
  std::string line;
  const auto finish = [&] {
    const size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string::npos) names.push_back(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
    line.clear();
  };
  for (const uint8_t byte : bytes) {
    if (byte == '\n') {
      finish();
    } else {
      line += static_cast<char>(byte);
    }
  }
  finish();
  return names;
}

}  // namespace dcl
