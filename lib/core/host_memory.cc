#include "core/host_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "core/control_groups.h"
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
  if (!limit || !usage || *limit < 0 || *usage < 0) return kUnknown;
  const size_t copies = number_of(group / "memory.stat", files.inactive_file).value_or(0) +
                        number_of(group / "memory.stat", files.active_file).value_or(0);
  const auto most = static_cast<size_t>(*limit), taken = static_cast<size_t>(*usage);
  return most - std::min(most, taken - std::min(taken, copies));
}

}  // namespace

size_t available_host_memory(const std::filesystem::path& root) {
  size_t available = kUnknown;
  const std::filesystem::path meminfo = root / "proc/meminfo";
  if (const auto free = number_of(meminfo, "MemAvailable:"))
    available = (*free + number_of(meminfo, "SwapFree:").value_or(0)) * 1024;
  for_each_control_group(root, "memory", [&](const std::filesystem::path& group, GroupVersion version) {
    available = std::min(available, left_in(group, version == GroupVersion::first ? kFirstVersion : kSecondVersion));
  });
  return available;
}

void require_host_memory(size_t bytes, const std::filesystem::path& root) {
  constexpr size_t kWorthAsking = size_t{64} << 20;
  if (bytes < kWorthAsking) return;
  if (const size_t left = available_host_memory(root); bytes > left)
    fail(ErrorKind::out_of_memory, "cannot allocate " + std::to_string(bytes >> 20) + " MiB of memory, " +
                                       std::to_string(left >> 20) + " MiB are free: use a smaller batch");
}

}  // namespace dcl
