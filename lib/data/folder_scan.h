// Which images a folder holds: classes, files and their order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dcl {

struct FolderListing {
  std::string root;                  ///< the split's folder, or the folder itself
  std::vector<std::string> classes;  ///< of all splits, sorted by bytes; empty without class folders
  /// Relative to root: by class, then by directory, then by name; unlabelled ones last.
  std::vector<std::string> files;
  std::vector<int32_t> labels;  ///< one per file
};

/// The rules stand at load_dataset. Error{data} when a directory is missing or cannot be read.
FolderListing list_folder(const std::string& dir, const std::string& split);

}  // namespace dcl
