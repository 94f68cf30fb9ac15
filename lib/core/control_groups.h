// The control groups (v1 and v2) that Linux keeps this process in, as containers and batch systems do, and what they
// leave it of the machine.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

namespace dcl {

enum class GroupVersion { first, second };

/// Calls use(folder, version) for the group of this process under `controller` ("memory", "cpu") and for every group
/// around it. Inside a container the names may be those of outside: then only what is mounted at the top is there.
/// root: the folder of proc and sys.
void for_each_control_group(const std::filesystem::path& root, std::string_view controller,
                            const std::function<void(const std::filesystem::path& folder, GroupVersion)>& use);

/// How many processors' time the groups allow (CPU quota over period, as of `docker --cpus`), at least; nothing where
/// they set no limit.
std::optional<double> cpu_quota(const std::filesystem::path& root = "/");

/// The number at the beginning of a file; nothing for "max" or where there is no such file.
std::optional<long long> number_in(const std::filesystem::path& file);

}  // namespace dcl
