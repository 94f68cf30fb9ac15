// How much memory the system still gives this process. Linux promises more than it has and ends a process that touches
// it all; asking first turns that into an error that says what to do.
#pragma once

#include <cstddef>
#include <filesystem>

namespace dcl {

/// Bytes: what the kernel counts as available and swap, within the limits of the control groups (v1 and v2) that the
/// process is in. The largest value there is when nothing is known. root: the folder of proc and sys.
size_t available_host_memory(const std::filesystem::path& root = "/");

/// Before as many bytes are taken at once: throws Error{out_of_memory} with the sizes when there are not as many.
/// Little is not asked about.
void require_host_memory(size_t bytes, const std::filesystem::path& root = "/");

}  // namespace dcl
