#include "core/host_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "core/error.h"

namespace dcl {
namespace {

constexpr size_t kUnknown = std::numeric_limits<size_t>::max();

/// The number behind `key` in lines of "key number" or "key: number kB".
std::optional<size_t> number_of(const std::filesystem::path& file, const std::string& key) {
  std::ifstream lines(file);
  for (std::string name; lines >> name;) {
    size_t number = 0;
    if (name == key && lines >> number) return number;
    lines.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return {};
}

/// Of a file that holds nothing else; "max" is no number.
std::optional<size_t> number_in(const std::filesystem::path& file) {
  size_t number = 0;
  return std::ifstream(file) >> number ? std::optional(number) : std::nullopt;
}

/// Names of a control group's files.
struct GroupFiles {
  const char *limit, *usage, *inactive_file, *active_file;
};
constexpr GroupFiles kFirstVersion{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
                                   "total_active_file"};
constexpr GroupFiles kSecondVersion{"memory.max", "memory.current", "inactive_file", "active_file"};

/// What the group leaves; copies of files count as free, since they are given up first.
size_t left_in(const std::filesystem::path& group, const GroupFiles& files) {
  const auto limit = number_in(group / files.limit), usage = number_in(group / files.usage);
  if (!limit || !usage) return kUnknown;
  const size_t copies = number_of(group / "memory.stat", files.inactive_file).value_or(0) +
                        number_of(group / "memory.stat", files.active_file).value_or(0);
  const size_t used = *usage - std::min(*usage, copies);
  return *limit - std::min(*limit, used);
}

/// The least that the group named in /proc/self/cgroup and those around it leave. Inside a container the name may be
/// one of outside: then only what is mounted at the top counts.
size_t left_in_all(const std::filesystem::path& mount, std::filesystem::path name, const GroupFiles& files) {
  size_t least = left_in(mount, files);
  for (name = name.relative_path(); !name.empty(); name = name.parent_path())
    least = std::min(least, left_in(mount / name, files));
  return least;
}

size_t left_in_groups(const std::filesystem::path& root) {
  size_t least = kUnknown;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "hierarchy:controllers:name"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), name = line.substr(second + 1);
    if (controllers.empty()) least = std::min(least, left_in_all(root / "sys/fs/cgroup", name, kSecondVersion));
    if (("," + controllers + ",").find(",memory,") != std::string::npos)  // perhaps mounted with others
      least = std::min(least, left_in_all(root / "sys/fs/cgroup" / controllers, name, kFirstVersion));
  }
  return least;
}

}  // namespace

size_t available_host_memory(const std::filesystem::path& root) {
  size_t available = kUnknown;
  const std::filesystem::path meminfo = root / "proc/meminfo";
  if (const auto free = number_of(meminfo, "MemAvailable:"))
    available = (*free + number_of(meminfo, "SwapFree:").value_or(0)) * 1024;
  return std::min(available, left_in_groups(root));
}

void require_host_memory(size_t bytes, const std::filesystem::path& root) {
  constexpr size_t kWorthAsking = size_t{64} << 20;
  if (bytes < kWorthAsking) return;
  if (const size_t left = available_host_memory(root); bytes > left)
    fail(ErrorKind::out_of_memory, "cannot allocate " + std::to_string(bytes >> 20) + " MiB of memory, " +
                                       std::to_string(left >> 20) + " MiB are free: use a smaller batch");
}

}  // namespace dcl
