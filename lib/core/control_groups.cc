#include "core/control_groups.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace dcl {
namespace {

/// Quota and period of one group, microseconds; a quota below 0 or "max" is none.
std::optional<double> quota_of(const std::filesystem::path& group, GroupVersion version) {
  long long quota = 0, period = 0;
  if (version == GroupVersion::second) {
    std::ifstream file(group / "cpu.max");
    if (!(file >> quota >> period)) return {};
  } else {
    quota = number_in(group / "cpu.cfs_quota_us").value_or(0);
    period = number_in(group / "cpu.cfs_period_us").value_or(0);
  }
  if (quota <= 0 || period <= 0) return {};
  return static_cast<double>(quota) / static_cast<double>(period);
}

}  // namespace

std::optional<long long> number_in(const std::filesystem::path& file) {
  long long number = 0;
  return std::ifstream(file) >> number ? std::optional(number) : std::nullopt;
}

void for_each_control_group(const std::filesystem::path& root, std::string_view controller,
                            const std::function<void(const std::filesystem::path& folder, GroupVersion)>& use) {
  const auto walk = [&](const std::filesystem::path& mount, std::filesystem::path name, GroupVersion version) {
    use(mount, version);
    for (name = name.relative_path(); !name.empty(); name = name.parent_path()) use(mount / name, version);
  };
  const std::string wanted = "," + std::string(controller) + ",";
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "hierarchy:controllers:name"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), name = line.substr(second + 1);
    if (controllers.empty()) walk(root / "sys/fs/cgroup", name, GroupVersion::second);
    if (("," + controllers + ",").find(wanted) != std::string::npos)  // perhaps mounted with others
      walk(root / "sys/fs/cgroup" / controllers, name, GroupVersion::first);
  }
}

std::optional<double> cpu_quota(const std::filesystem::path& root) {
  std::optional<double> least;
  for_each_control_group(root, "cpu", [&](const std::filesystem::path& group, GroupVersion version) {
    if (const auto quota = quota_of(group, version)) least = std::min(least.value_or(*quota), *quota);
  });
  return least;
}

}  // namespace dcl
