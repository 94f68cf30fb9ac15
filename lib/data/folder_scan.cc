#include "data/folder_scan.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "data/dataset.h"

namespace dcl {
namespace {

constexpr std::array<const char*, 3> kSplits = {"train", "test", "val"};
constexpr std::ptrdiff_t kMaxDepth = 64;
constexpr size_t kMostFolders = 1 << 16;  // of a class: a few links to each other's parents are as many as one likes

/// What torchvision's ImageFolder takes for images, what cameras and browsers write, and other names of PNM: all are
/// tried, so that what cannot be read is counted.
constexpr std::array<std::string_view, 15> kExtensions = {".jpg", ".jpeg", ".png",  ".ppm",  ".bmp",
                                                          ".pgm", ".tif",  ".tiff", ".webp", ".gif",
                                                          ".pbm", ".pnm",  ".heic", ".heif", ".avif"};

bool is_image_name(const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return false;
  std::string extension = name.substr(dot);
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

using DirectoryId = std::pair<dev_t, ino_t>;

/// Follows links. False when it is not a directory.
bool directory_id(const std::string& path, DirectoryId* id) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return false;
  *id = {status.st_dev, status.st_ino};
  return true;
}

bool is_directory(const std::string& path) {
  DirectoryId ignored;
  return directory_id(path, &ignored);
}

struct Entries {
  std::vector<std::string> directories, images;  ///< names, sorted by bytes, without hidden ones
};

[[noreturn]] void fail_read(const std::string& path) {
  fail(ErrorKind::data, "cannot read the folder " + quoted(path) + ": " + std::strerror(errno));
}

/// Null at the end, which is not taken for a failed read: images would be missing without a word.
const dirent* next_entry(DIR* dir, const std::string& path) {
  errno = 0;
  const dirent* entry = ::readdir(dir);
  if (!entry && errno != 0) fail_read(path);
  return entry;
}

Entries read_directory(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) fail_read(path);
  Entries entries;
  for (const dirent* entry = next_entry(dir.get(), path); entry; entry = next_entry(dir.get(), path)) {
    const std::string name = entry->d_name;
    if (name.front() == '.') continue;
    const bool unclear = entry->d_type == DT_UNKNOWN || entry->d_type == DT_LNK;
    if (entry->d_type == DT_DIR || (unclear && is_directory(path + "/" + name))) {
      entries.directories.push_back(name);
    } else if (is_image_name(name)) {
      entries.images.push_back(name);
    }
  }
  std::sort(entries.directories.begin(), entries.directories.end());
  std::sort(entries.images.begin(), entries.images.end());
  return entries;
}

/// One directory's images; `path` is relative to the root.
struct Found {
  std::string path;
  std::vector<std::string> images;
};

/// The directory and all above it, without links.
std::vector<DirectoryId> with_ancestors(const std::string& path) {
  std::vector<DirectoryId> ids;
  std::error_code ignored;
  for (std::filesystem::path at = std::filesystem::canonical(path, ignored); !at.empty(); at = at.parent_path()) {
    if (DirectoryId id; directory_id(at.string(), &id)) ids.push_back(id);
    if (at == at.root_path()) break;
  }
  return ids;
}

/// Depth first; a directory that is its own ancestor through a link is not entered again.
void collect(const std::string& root, const std::string& path, std::vector<DirectoryId>& ancestors,
             std::vector<Found>& found) {
  const std::string full = root + "/" + path;
  DirectoryId id;
  if (!directory_id(full, &id) || std::find(ancestors.begin(), ancestors.end(), id) != ancestors.end()) return;
  if (std::count(path.begin(), path.end(), '/') >= kMaxDepth)
    fail(ErrorKind::data, "folders are nested too deeply at " + quoted(full));
  if (found.size() == kMostFolders)
    fail(ErrorKind::data, "there are more than " + std::to_string(kMostFolders) + " folders below " +
                              quoted(root + "/" + path.substr(0, path.find('/'))) +
                              ", each counted as often as links lead to it: remove links between folders");
  Entries entries = read_directory(full);
  ancestors.push_back(id);
  for (const std::string& name : entries.directories) collect(root, path + "/" + name, ancestors, found);
  ancestors.pop_back();
  found.push_back({path, std::move(entries.images)});
}

/// Whether it names something below a folder.
bool leads_inside(const std::filesystem::path& path) {
  return path.is_relative() && !path.empty() &&
         std::ranges::none_of(path, [](const auto& part) { return part.native().starts_with('.'); });
}

std::string split_root(const std::string& dir, const std::string& split) {
  if (!is_directory(dir)) fail(ErrorKind::data, "folder: there is no directory " + quoted(dir));
  if (leads_inside(split) && is_directory(dir + "/" + split)) return dir + "/" + split;
  for (const char* other : kSplits) {
    if (is_directory(dir + "/" + other)) {
      fail(ErrorKind::data, "folder: " + quoted(dir) + " has a split '" + other + "' but no split " + quoted(split));
    }
  }
  if (!split.empty() && split != "." && std::ranges::find(kSplits, split) == kSplits.end())
    fail(ErrorKind::data,
         "folder: " + quoted(dir) + " has no sub-folder " + quoted(split) + ": name one, or . for all");
  return dir;
}

/// The class folders of this split and of its siblings, so that labels mean the same in all of them.
std::vector<std::string> class_folders(const std::string& dir, const std::string& root, std::vector<std::string> own) {
  std::set<std::string> classes(own.begin(), own.end());
  if (root != dir) {
    for (const char* other : kSplits) {
      const std::string sibling = dir + "/" + other;
      if (sibling == root || !is_directory(sibling)) continue;
      for (std::string& name : read_directory(sibling).directories) classes.insert(std::move(name));
    }
  }
  return {classes.begin(), classes.end()};
}

}  // namespace

FolderListing list_folder(const std::string& dir, const std::string& split) {
  FolderListing out;
  out.root = split_root(dir, split);
  const Entries top = read_directory(out.root);
  out.classes = class_folders(dir, out.root, top.directories);
  std::vector<DirectoryId> ancestors = with_ancestors(out.root);
  for (const std::string& name : top.directories) {
    const auto at = std::lower_bound(out.classes.begin(), out.classes.end(), name);
    const auto label = static_cast<int32_t>(at - out.classes.begin());
    std::vector<Found> found;
    collect(out.root, name, ancestors, found);
    // ImageFolder's order: by the directory's whole path as a string, then by name.
    std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.path < b.path; });
    for (const Found& directory : found) {
      for (const std::string& image : directory.images) {
        out.files.push_back(directory.path + "/" + image);
        out.labels.push_back(label);
      }
    }
  }
  for (const std::string& image : top.images) {
    out.files.push_back(image);
    out.labels.push_back(kUnknownLabel);
  }
  return out;
}

}  // namespace dcl
