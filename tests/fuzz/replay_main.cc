// Runs a fuzz target over the files of folders, without a fuzzing engine: every file as it is, cut at many lengths, and
// with single bits flipped. Deterministic.
//   replay FOLDER...      exit code 1 when a folder is empty
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "target.h"

namespace {

constexpr size_t kCuts = 64, kFlips = 256;

void try_bytes(const std::string& bytes) {
  // A copy of exactly this size, so that reading beyond it is seen.
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

void try_variants(const std::string& bytes) {
  try_bytes(bytes);
  for (size_t cut = 0; cut < kCuts; ++cut) try_bytes(bytes.substr(0, bytes.size() * cut / kCuts));
  uint64_t random = 1;
  for (size_t flip = 0; flip < kFlips && !bytes.empty(); ++flip) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    std::string changed = bytes;
    // Half of them among the first bytes, where headers are.
    const size_t among = flip % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 128);
    changed[(random >> 33) % among] ^= static_cast<char>(1 << (random >> 20) % 8);
    try_bytes(changed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  size_t files = 0;
  for (int i = 1; i < argc; ++i) {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    for (const auto& path : paths) {
      std::cerr << path.string() << "\n";
      std::ifstream file(path, std::ios::binary);
      std::ostringstream text;
      text << file.rdbuf();
      try_variants(text.str());
      ++files;
    }
  }
  std::cerr << files << " files, each in " << 1 + kCuts + kFlips << " variants\n";
  return files > 0 ? 0 : 1;
}
